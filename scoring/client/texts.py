"""What the command itself says, in English and French.

Faults of an archive come from ``scoring.engine.problems.problems``, refusals from the server:
both have their own catalogue. This one holds the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

LANGUAGES = ("en", "fr")

TEXTS: dict[str, tuple[str, str]] = {
    "not-logged-in": (
        "Not logged in to {server}. Make a token on your account page, then: flair login",
        "Non connecté à {server}. Créez un jeton sur votre page de compte, puis : flair login",
    ),
    "server-missing": (
        "Which server? Give --server URL or set FLAIR_SERVER once; flair login remembers it.",
        "Quel serveur ? Donnez --server URL ou définissez FLAIR_SERVER ; flair login le retient.",
    ),
    "server-url-invalid": (
        "{server}: a server's address begins with https:// or http://",
        "{server} : l'adresse d'un serveur commence par https:// ou http://",
    ),
    "server-variable-invalid": (
        "The environment variable {variable} is {value}: an address begins with https:// or http://",
        (
            "La variable d'environnement {variable} vaut {value} : une adresse commence par "
            "https:// ou http://"
        ),
    ),
    "token-prompt": ("Token (it is not shown): ", "Jeton (il ne s'affiche pas) : "),
    "token-form": (
        "This is no token: it holds spaces or characters that no token has. Copy it again.",
        (
            "Ce n'est pas un jeton : il contient des espaces ou des caractères qu'aucun jeton "
            "n'a. Copiez-le à nouveau."
        ),
    ),
    "token-variable-invalid": (
        (
            "The environment variable {variable} holds no token, but spaces or characters that no "
            "token has. Correct or unset it."
        ),
        (
            "La variable d'environnement {variable} ne contient pas de jeton, mais des espaces ou "
            "des caractères qu'aucun jeton n'a. Corrigez-la ou supprimez-la."
        ),
    ),
    "token-empty": ("No token was given.", "Aucun jeton n'a été donné."),
    "logged-in": (
        "Logged in to {server} as {user}. The token lies in {path}, readable by you alone.",
        "Connecté à {server} en tant que {user}. Le jeton est dans {path}, lisible par vous seul.",
    ),
    "logged-out": ("Forgot the token of {server}.", "Jeton de {server} oublié."),
    "unreachable": (
        "{server} cannot be reached: {reason}. Check the address and the network, try again.",
        "{server} est injoignable : {reason}. Vérifiez l'adresse et le réseau, puis réessayez.",
    ),
    "unreachable-by-proxy": (
        (
            "{server} cannot be reached through the proxy of the variable {variable}: {reason}. "
            "Check the variable and the network; NO_PROXY lists the hosts without proxy."
        ),
        (
            "{server} est injoignable par le proxy de la variable {variable} : {reason}. "
            "Vérifiez la variable et le réseau ; NO_PROXY énumère les hôtes sans proxy."
        ),
    ),
    "proxy-invalid": (
        (
            "The environment variable {variable} holds no address of a proxy ({reason}): {value}. "
            "Correct or unset it. Known: {schemes}"
        ),
        (
            "La variable d'environnement {variable} ne contient pas l'adresse d'un proxy "
            "({reason}) : {value}. Corrigez-la ou supprimez-la. Connus : {schemes}"
        ),
    ),
    "certificates-invalid": (
        (
            "The environment variable {variable} names a file or folder that cannot be used "
            "({reason}): {value}. Correct or unset it."
        ),
        (
            "La variable d'environnement {variable} désigne un fichier ou un dossier inutilisable "
            "({reason}) : {value}. Corrigez-la ou supprimez-la."
        ),
    ),
    "answer-strange": (
        "{server} answered {status} with something that is not this API. Is the address right?",
        "{server} a répondu {status} avec autre chose que cette API. L'adresse est-elle juste ?",
    ),
    "phase-form": (
        "{phase}: a phase is written challenge/phase, for instance flair-1/test.",
        "{phase} : une phase s'écrit défi/phase, par exemple flair-1/test.",
    ),
    "phase-not-fetched": (
        "{phase}: its list of patches was never fetched from {server}. Run once without --offline.",
        (
            "{phase} : sa liste de patchs n'a jamais été récupérée sur {server}. "
            "Lancez la commande une fois sans --offline."
        ),
    ),
    "file-missing": (
        "{path}: no such file or folder.",
        "{path} : fichier ou dossier introuvable.",
    ),
    "submit-folder": (
        "{path} is a folder: make a zip of it first: flair pack {path} --phase {phase}",
        "{path} est un dossier : faites-en d'abord un zip : flair pack {path} --phase {phase}",
    ),
    "file-exists": (
        "{path} exists already: choose another name or give --force.",
        "{path} existe déjà : choisissez un autre nom ou donnez --force.",
    ),
    "file-unreadable": ("{path} cannot be read: {reason}", "{path} est illisible : {reason}"),
    "no-access": (
        "{path} cannot be read or written: {reason}",
        "{path} ne peut être lu ou écrit : {reason}",
    ),
    "file-changed": (
        "{path} changed while it was being uploaded: submit again.",
        "{path} a changé pendant l'envoi : soumettez à nouveau.",
    ),
    "state-elsewhere": (
        (
            "The server's bytes are not those of {path}: its SHA-256 is {found}, not {wanted}. "
            "The submission should be cancelled and sent again."
        ),
        (
            "Les octets du serveur ne sont pas ceux de {path} : leur SHA-256 est {found}, pas "
            "{wanted}. Annulez la soumission et renvoyez-la."
        ),
    ),
    "pack-empty": (
        "{path}: no prediction found. Names must look like {name}.",
        "{path} : aucune prédiction trouvée. Les noms doivent ressembler à {name}.",
    ),
    "pack-twice": (
        "Patch {id} is there twice: {first} and {second}. Keep one.",
        "Le patch {id} est présent deux fois : {first} et {second}. Gardez-en une.",
    ),
    "packed": (
        "{path}: {count} predictions, {size}, SHA-256 {sha256}",
        "{path} : {count} prédictions, {size}, SHA-256 {sha256}",
    ),
    "pack-ignored": (
        "Left out: {count} files that are no predictions, {first} for instance.",
        "Laissés de côté : {count} fichiers qui ne sont pas des prédictions, dont {first}.",
    ),
    "check-passed": (
        "{path}: valid for {phase}: {count} patches, every check passed.",
        "{path} : valide pour {phase} : {count} patchs, tous les contrôles sont passés.",
    ),
    "check-failed": (
        "{path}: not valid for {phase}; nothing was sent.",
        "{path} : non valide pour {phase} ; rien n'a été envoyé.",
    ),
    "check-more": ("… and {count} more.", "… et {count} de plus."),
    "checking": ("Checking", "Contrôle"),
    "packing": ("Packing", "Empaquetage"),
    "uploading": ("Uploading", "Envoi"),
    "downloading": ("Downloading", "Téléchargement"),
    "resuming": (
        "Resuming an earlier upload at {percent} %.",
        "Reprise d'un envoi antérieur à {percent} %.",
    ),
    "cut": (
        "The connection broke ({reason}); resuming in {wait_s} s.",
        "La connexion s'est coupée ({reason}) ; reprise dans {wait_s} s.",
    ),
    "upload-gave-up": (
        (
            "The upload broke {count} times in a row without progress ({reason}). "
            "What arrived is kept: run the same command again to resume."
        ),
        (
            "L'envoi a échoué {count} fois de suite sans progrès ({reason}). "
            "Ce qui est arrivé est gardé : relancez la même commande pour reprendre."
        ),
    ),
    "submitted": (
        "Submission {number} of {team} accepted: {id}",
        "Soumission {number} de {team} acceptée : {id}",
    ),
    "left": (
        "Left today: {today}; left in all: {total}.",
        "Restant aujourd'hui : {today} ; restant en tout : {total}.",
    ),
    "still-running": (
        "Still {doing} after {seconds} s; look again with: flair status {id}",
        "Toujours « {doing} » après {seconds} s ; regardez plus tard avec : flair status {id}",
    ),
    "state-queued": ("waiting for a worker", "en attente d'un serveur de calcul"),
    "state-scoring": ("being scored", "évaluation en cours"),
    "state-scored": ("scored", "évaluée"),
    "state-rejected": ("rejected", "rejetée"),
    "state-failed": (
        "failed (our fault, not yours; nothing is charged)",
        "échouée (notre faute, pas la vôtre ; rien n'est décompté)",
    ),
    "state-cancelled": ("cancelled", "annulée"),
    "score-hidden": (
        "Scored; the organiser shows the score later.",
        "Évaluée ; l'organisateur montrera le score plus tard.",
    ),
    "saved": ("Saved {path} ({size}).", "Enregistré : {path} ({size})."),
    "no-submissions": ("No submission yet.", "Aucune soumission."),
    "no-ranks": ("No score yet in this phase.", "Aucun score dans cette phase."),
    "no-phases": ("No challenge is published there yet.", "Aucun challenge n'y est publié."),
    "phase-open": ("open", "ouverte"),
    "phase-upcoming": ("soon", "bientôt"),
    "phase-closed": ("closed", "close"),
    "phase-not-ready": ("not ready yet", "pas encore prête"),
    "interrupted": (
        "Interrupted. What arrived is kept: run the same command again to resume.",
        "Interrompu. Ce qui est arrivé est gardé : relancez la même commande pour reprendre.",
    ),
    "digest-differs": (
        "{path}: what arrived has the SHA-256 {found}, not {wanted}; it was removed. Run it again.",
        "{path} : le fichier reçu a le SHA-256 {found}, et non {wanted} ; il est supprimé.",
    ),
    "download-unknown": (
        "{name}: no such download. There are: {known}",
        "{name} : pas de tel téléchargement. Il y a : {known}",
    ),
    "class": ("class", "classe"),
    "team": ("team", "équipe"),
    "method": ("method", "méthode"),
    "rank": ("rank", "rang"),
    "date": ("date", "date"),
    "state": ("state", "état"),
    "phase": ("phase", "phase"),
    "closes": ("closes (UTC)", "fin (UTC)"),
    "name": ("name", "nom"),
    "precision": ("precision", "précision"),
    "recall": ("recall", "rappel"),
    "reference": ("reference", "référence"),
    "size": ("size", "taille"),
    "file": ("file", "fichier"),
}


def say(code: str, lang: str, /, **params: object) -> str:
    """The text of ``code`` in ``lang``, filled in. Raises KeyError for an unknown code.

    >>> say("file-missing", "en", path="a.zip")
    'a.zip: no such file or folder.'
    """
    english, french = TEXTS[code]
    return (french if lang == "fr" else english).format_map(params)


def language(environ: Mapping[str, str] | None = None) -> str:
    """The language of the terminal: FLAIR_LANG, else the locale's, else English.

    >>> language({"LANG": "fr_FR.UTF-8"}), language({})
    ('fr', 'en')
    """
    environ = os.environ if environ is None else environ
    for name in ("FLAIR_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = environ.get(name, "")
        if value:
            word = re.split(r"[-_.@:]", value.strip().lower())[0]
            return "fr" if word in {"fr", "french", "français"} else "en"
    return "en"
