"""The stages of a study: each a function of one repeat and of the artefacts before it, none of them knows another."""
