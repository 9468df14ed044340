"""Parameters of the stage suggester: which model, of those in the section train."""

from hashgen.params.fields import Section
from hashgen.params.train import ModelName


class Suggester(Section):
    model: ModelName
