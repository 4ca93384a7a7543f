"""What DICOM headers say of persons: used to tell patients apart, counted, and never handed on."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PERSONAL = {
    "PatientName": "name",
    "PatientID": "patient ID",
    "OtherPatientIDs": "further patient IDs",
    "PatientBirthDate": "birth date",
    "PatientAddress": "address",
    "PatientTelephoneNumbers": "telephone number",
    "PatientComments": "comments",
    "StudyDate": "study date",
    "AcquisitionDate": "acquisition date",
    "ContentDate": "content date",
    "StudyID": "study ID",
    "AccessionNumber": "accession number",
    "ReferringPhysicianName": "referring physician",
    "PerformingPhysicianName": "performing physician",
    "OperatorsName": "operator",
    "InstitutionName": "institution",
}
"""Keywords of attributes that may tell who somebody is, and what they are called in words."""
TAGS = [*PERSONAL, "IssuerOfPatientID", "StudyInstanceUID", "SOPInstanceUID"]


@dataclass(frozen=True)
class Person:
    """patient, study, image: what identifies them, "" if unknown. present: the kinds of personal data in the file."""

    patient: str
    study: str
    image: str
    present: tuple[str, ...]


def person_of(header: Any) -> Person:
    """What the header of a file says."""
    said = {tag: str(header.get(tag) or "").strip() for tag in TAGS}
    patient = f"{said['PatientID']}\0{said['IssuerOfPatientID']}" if said["PatientID"] else ""
    present = tuple(words for tag, words in PERSONAL.items() if said[tag])
    return Person(patient, said["StudyInstanceUID"], said["SOPInstanceUID"], present)


def groups(people: Mapping[Path, Person]) -> dict[Path, str]:
    """The group of each file: its patient, or its study where the patient is unknown; "" if neither is known.

    If all have the same patient ID, as after some anonymisations, it tells nothing, and studies are taken. A group is
    named by a digest of the unique identifiers of its images. A digest of the patient ID would not do: such numbers are
    so short that all of them can be tried.
    """
    one_for_all = len({person.patient for person in people.values()}) == 1
    members: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file, person in people.items():
        if person.patient and not one_for_all:
            members["patient", person.patient].append(file)
        elif person.study:
            members["study", person.study].append(file)
    if len(members) < 2:
        return dict.fromkeys(people, "")
    found = dict.fromkeys(people, "")
    for (kind, identity), files in members.items():
        about = min(people[file].image for file in files) or f"{kind} {sorted(members).index((kind, identity))}"
        found.update(dict.fromkeys(files, f"{kind} {hashlib.sha256(about.encode()).hexdigest()[:12]}"))
    return found


def counted(people: Mapping[Path, Person]) -> str:
    """In words: what kinds of personal data there are, and in how many files; "" if there are none."""
    kinds = Counter(kind for person in people.values() for kind in person.present)
    if not kinds:
        return ""
    files = sum(bool(person.present) for person in people.values())
    listed = ", ".join(f"{kind} in {count}" for kind, count in kinds.most_common())
    return f"stand in {files} of {len(people)} files ({listed}); nothing of it is copied"
