"""Events as lines of JSON, for programs that read a log."""

import json
import sys
from dataclasses import asdict
from datetime import datetime, timedelta

from sonosynth.progress.events import Event, TaskAdvanced, TaskEnded

EVERY = timedelta(seconds=5)  # a line of a task, at most


class JsonLines:
    """One object per event: its fields, its name as `event`, and its time as ISO 8601 has it."""

    def __init__(self) -> None:
        self.told: dict[str, datetime] = {}  # when a task last got a line

    def show(self, event: Event) -> None:
        """Print an event, if it is not too soon for it."""
        if isinstance(event, TaskEnded):
            self.told.pop(event.key, None)
        elif not isinstance(event, TaskAdvanced) or self._is_due(event):
            at = {"time": event.time.isoformat(timespec="milliseconds")}
            print(json.dumps(at | {"event": event.name} | asdict(event) | at), file=sys.stderr, flush=True)

    def _is_due(self, event: TaskAdvanced) -> bool:
        due = event.key not in self.told or event.done >= event.total or event.time - self.told[event.key] >= EVERY
        if due:
            self.told[event.key] = event.time
        return due
