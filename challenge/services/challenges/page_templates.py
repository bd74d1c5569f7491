"""The pages that a new challenge begins with, for its organiser to rewrite."""

from __future__ import annotations

from collections.abc import Sequence

from challenge.rules.languages import LANGUAGES
from challenge.services.challenges.description import Description

OVERVIEW = {
    "en": "Say in a few sentences what is to be mapped, from which images, and why.\n\n"
    "[[figures]]\n\n## When\n\n[[phases]]\n\nThe [rules](rules) say who may take part.\n",
    "fr": "Dites en quelques phrases ce qui est à cartographier, d’après quelles images, et "
    "pourquoi.\n\n[[figures]]\n\n## Quand\n\n[[phases]]\n\n"
    "Le [règlement](rules) dit qui peut participer.\n",
}
RULES = {
    "en": "## Phases and limits\n\n[[phases]]\n\n## Who may take part\n\n"
    "Say who may, alone or in teams.\n\n## Data and models\n\n"
    "Say which data and which trained models are allowed. Nobody trains on the hidden labels.\n",
    "fr": "## Phases et limites\n\n[[phases]]\n\n## Qui peut participer\n\n"
    "Dites qui peut participer, seul ou en équipe.\n\n## Données et modèles\n\n"
    "Dites quelles données et quels modèles sont permis. Personne n’apprend sur les labels "
    "cachés.\n",
}
DATA = {
    "en": "## Classes\n\n[[classes]]\n\n## Files\n\n[[downloads]]\n\n"
    "Say how the images were made and what one file holds.\n",
    "fr": "## Classes\n\n[[classes]]\n\n## Fichiers\n\n[[downloads]]\n\n"
    "Dites comment les images ont été faites et ce que contient un fichier.\n",
}


def add_to(description: Description, *, languages: Sequence[str] = LANGUAGES) -> None:
    """Add the pages that every challenge needs, in some languages."""
    for slug, title, texts in (
        ("overview", {"en": "Overview", "fr": "Aperçu"}, OVERVIEW),
        ("data", {"en": "Data", "fr": "Données"}, DATA),
        ("rules", {"en": "Rules", "fr": "Règlement"}, RULES),
    ):
        description.add_page(
            slug,
            {code: title[code] for code in languages},
            {code: texts[code] for code in languages},
        )
