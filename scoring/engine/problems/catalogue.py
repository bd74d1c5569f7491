# ruff: noqa: ISC004 (each entry is a pair of texts, cut for the length of lines only)
"""The texts of every problem and note, English and French. Data; `problems` renders it.

A text says what was found, what is allowed and what to do. Its parameters are numbers or short
names, already escaped. Codes are stable: scripts rely on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_ZIP_AGAIN_EN = "Make the archive again with an ordinary zip program."
_ZIP_AGAIN_FR = "Refaites l'archive avec un programme zip ordinaire."

_TABLE: dict[str, tuple[str, str]] = {
    # The archive as a whole.
    "archive-empty-file": (
        "The file is empty (0 bytes). Upload a zip of prediction rasters.",
        "Le fichier est vide (0 octet). Déposez un zip de rasters de prédiction.",
    ),
    "archive-not-zip": (
        "The file's format is {format}, not zip. Pack the predictions into a .zip and upload that.",
        "Le format du fichier est {format}, pas zip. Placez les prédictions dans un .zip.",
    ),
    "archive-truncated": (
        "The zip archive has no valid end: it is cut off or damaged. Upload it again in full.",
        "L'archive zip n'a pas de fin valide : elle est tronquée ou abîmée. Déposez-la en entier.",
    ),
    "archive-damaged": (
        f"The zip archive contradicts itself: {{what}}. {_ZIP_AGAIN_EN}",
        f"L'archive zip se contredit : {{what}}. {_ZIP_AGAIN_FR}",
    ),
    "archive-prefix-bytes": (
        "{count} bytes stand before the first entry; none are allowed (self-extracting archives "
        f"are not accepted). {_ZIP_AGAIN_EN}",
        "{count} octets précèdent la première entrée ; aucun n'est admis (pas d'archive "
        f"auto-extractible). {_ZIP_AGAIN_FR}",
    ),
    "archive-suffix-bytes": (
        f"{{count}} bytes follow the end of the archive; none are allowed. {_ZIP_AGAIN_EN}",
        f"{{count}} octets suivent la fin de l'archive ; aucun n'est admis. {_ZIP_AGAIN_FR}",
    ),
    "archive-zero-padding": (
        "{count} zero bytes follow the end of the archive, as a pipe or a copy in whole blocks "
        "(dd, tape) adds them; none are allowed. Cut it to its {size_bytes} bytes "
        "(truncate -s {size_bytes} FILE) or make it again.",
        "{count} octets nuls suivent la fin de l'archive, comme en ajoute un tube ou une copie par "
        "blocs entiers (dd, bande) ; aucun n'est admis. Coupez-la à ses {size_bytes} octets "
        "(truncate -s {size_bytes} FICHIER) ou refaites-la.",
    ),
    "archive-hidden-bytes": (
        f"{{count}} bytes before this entry belong to none; none are allowed. {_ZIP_AGAIN_EN}",
        f"{{count}} octets avant cette entrée n'appartiennent à aucune. {_ZIP_AGAIN_FR}",
    ),
    "archive-multi-disk": (
        "The archive is split over several files. Make one single zip.",
        "L'archive est découpée en plusieurs fichiers. Faites un seul zip.",
    ),
    "archive-too-large": (
        "The upload has {size_bytes} bytes; at most {limit_bytes}. Compress the rasters.",
        "Le dépôt fait {size_bytes} octets ; {limit_bytes} au plus. Compressez les rasters.",
    ),
    "archive-too-many-entries": (
        "The archive lists {count} entries; at most {limit} are allowed. One raster per patch.",
        "L'archive liste {count} entrées ; {limit} au plus. Un raster par patch.",
    ),
    "archive-directory-too-large": (
        "Its directory has {size_bytes} bytes for {count} entries; {limit_bytes} at most. "
        f"{_ZIP_AGAIN_EN}",
        "Le répertoire de l'archive fait {size_bytes} octets pour {count} entrées ; {limit_bytes} "
        f"au plus. {_ZIP_AGAIN_FR}",
    ),
    "archive-inflates-too-large": (
        "The archive inflates to {size_bytes} bytes; at most {limit_bytes} are allowed.",
        "L'archive décompressée ferait {size_bytes} octets ; {limit_bytes} au plus.",
    ),
    "archive-overlap": (
        f"This entry overlaps another one in the archive. {_ZIP_AGAIN_EN}",
        f"Cette entrée en chevauche une autre dans l'archive. {_ZIP_AGAIN_FR}",
    ),
    "archive-no-entries": (
        "The archive is empty. It must hold one prediction raster per patch.",
        "L'archive est vide. Il faut un raster de prédiction par patch.",
    ),
    "archive-no-predictions": (
        "No prediction was found; files are to be named like {example}.",
        "Aucune prédiction trouvée ; les fichiers se nomment comme {example}.",
    ),
    # One entry of the archive.
    "member-encrypted": (
        "The entry is encrypted. Make the archive without a password.",
        "L'entrée est chiffrée. Refaites l'archive sans mot de passe.",
    ),
    "member-method": (
        "The entry is compressed with {method}; allowed are stored and deflate.",
        "L'entrée est compressée avec {method} ; sont admis : stored et deflate.",
    ),
    "member-not-regular": (
        "The entry is {kind}; only regular files and folders are allowed.",
        "L'entrée est {kind} ; seuls fichiers ordinaires et dossiers sont admis.",
    ),
    "member-name-unsafe": (
        "The entry's name {what}. Use plain relative names such as {example}: zip with "
        "PowerShell 7, 7-Zip, Python or flair pack.",
        "Le nom de l'entrée {what}. Utilisez des noms relatifs simples comme {example} : zippez "
        "avec PowerShell 7, 7-Zip, Python ou flair pack.",
    ),
    "member-too-large": (
        "The file has {size_bytes} bytes; a prediction may have at most {limit_bytes}.",
        "Le fichier fait {size_bytes} octets ; une prédiction en a {limit_bytes} au plus.",
    ),
    "member-size-impossible": (
        "{compressed_bytes} compressed bytes cannot become the {size_bytes} bytes announced. "
        f"{_ZIP_AGAIN_EN}",
        "{compressed_bytes} octets compressés ne peuvent donner les {size_bytes} octets annoncés. "
        f"{_ZIP_AGAIN_FR}",
    ),
    "member-header-mismatch": (
        f"The entry's own header and the archive's directory disagree ({{what}}). {_ZIP_AGAIN_EN}",
        f"L'en-tête de l'entrée contredit le répertoire de l'archive ({{what}}). {_ZIP_AGAIN_FR}",
    ),
    "member-damaged": (
        f"The compressed data are damaged ({{what}}). {_ZIP_AGAIN_EN}",
        f"Les données compressées sont abîmées ({{what}}). {_ZIP_AGAIN_FR}",
    ),
    "member-crc": (
        f"The checksum does not match: the file was damaged on the way. {_ZIP_AGAIN_EN}",
        f"La somme de contrôle ne correspond pas : fichier abîmé en route. {_ZIP_AGAIN_FR}",
    ),
    "member-nested-archive": (
        "The archive holds another archive ({format}). Upload the rasters in one zip directly.",
        "L'archive en contient une autre ({format}). Placez les rasters directement dans un zip.",
    ),
    "member-unexpected": (
        "This file is not a prediction; files are to be named like {example}. Rename or remove it.",
        "Ce fichier n'est pas une prédiction ; nom attendu : {example}. Renommez-le ou retirez-le.",
    ),
    # Which patches.
    "duplicate-patch": (
        "Patch {id} was already given by {other}. Keep one file per patch.",
        "Le patch {id} est déjà donné par {other}. Gardez un fichier par patch.",
    ),
    "unknown-patch": (
        "Patch {id} is not one of the patches of this phase. Remove the file.",
        "Le patch {id} ne fait pas partie des patches de cette phase. Retirez le fichier.",
    ),
    "foreign-patches": (
        "{count} file(s) belong to another challenge, {challenge} (first ids: {ids}). "
        "Upload them there.",
        "{count} fichier(s) relèvent d'un autre challenge, {challenge} (premiers : {ids}). "
        "Déposez-les là-bas.",
    ),
    "missing-patches": (
        "{count} of {expected} patches are missing (first: {ids}). Add one raster for each.",
        "Il manque {count} patchs sur {expected} (premiers : {ids}). Ajoutez leurs rasters.",
    ),
    # One raster, before decoding.
    "raster-not-tiff": (
        "The file's format is {format}, not TIFF. Write a one-band 8-bit TIFF.",
        "Le format du fichier est {format}, pas TIFF. Écrivez un TIFF 8 bits à une bande.",
    ),
    "raster-truncated": (
        "The TIFF is cut off: {what}. Write it again.",
        "Le TIFF est tronqué : {what}. Écrivez-le de nouveau.",
    ),
    "raster-structure": (
        "The TIFF's structure is invalid: {what}. Write it again with an ordinary program.",
        "La structure du TIFF est invalide : {what}. Réécrivez-le avec un programme ordinaire.",
    ),
    "raster-pages": (
        "The TIFF has {count} full images; exactly one is allowed.",
        "Le TIFF a {count} images entières ; une seule est admise.",
    ),
    "raster-bands": (
        "The raster has {count} bands; exactly one is allowed: write the class id, no colours.",
        "Le raster a {count} bandes ; une seule est admise : l'indice de classe, sans couleurs.",
    ),
    "raster-type": (
        "Pixels are {found}: write uint8, unsigned 8-bit integers "
        "(in NumPy: classes.astype('uint8')).",
        "Les pixels sont en {found} : écrivez de l'uint8, des entiers non signés sur 8 bits "
        "(avec NumPy : classes.astype('uint8')).",
    ),
    "raster-size": (
        "The raster is {height_px} × {width_px} pixels (height × width); it must be "
        "{expected_height_px} × {expected_width_px}.",
        "Le raster fait {height_px} × {width_px} pixels (hauteur × largeur) au lieu de "
        "{expected_height_px} × {expected_width_px}.",
    ),
    "raster-transposed": (
        "The raster is transposed: {height_px} × {width_px} pixels (height × width) instead of "
        "{expected_height_px} × {expected_width_px}. Swap rows and columns.",
        "Le raster est transposé : {height_px} × {width_px} pixels (hauteur × largeur) au lieu de "
        "{expected_height_px} × {expected_width_px}. Échangez lignes et colonnes.",
    ),
    "raster-block": (
        "The raster is stored in blocks of {height_px} × {width_px} pixels; "
        "at most 1024 × 1024 are allowed.",
        "Le raster est stocké par blocs de {height_px} × {width_px} pixels ; 1024 × 1024 au plus.",
    ),
    "raster-codec": (
        "The TIFF is compressed with {codec}; allowed are none, LZW, deflate, packbits and zstd.",
        "Le TIFF est compressé en {codec} ; sont admis : aucune, LZW, deflate, packbits, zstd.",
    ),
    "raster-predictor": (
        "The TIFF uses predictor {value}; allowed are 1 (none) and 2 (horizontal).",
        "Le TIFF utilise le prédicteur {value} ; sont admis 1 (aucun) et 2 (horizontal).",
    ),
    "raster-photometric": (
        "The TIFF's colour model is {found}; allowed are grey and palette, holding class ids.",
        "Le modèle de couleur du TIFF est {found} ; sont admis gris et palette.",
    ),
    "raster-undecodable": (
        "The image data cannot be decoded ({what}). Write the raster again.",
        "Les données de l'image sont illisibles ({what}). Écrivez le raster de nouveau.",
    ),
    "raster-too-slow": (
        "Decoding took longer than {limit_s} s and was stopped. Write the raster again.",
        "Le décodage a dépassé {limit_s} s et a été arrêté. Écrivez le raster de nouveau.",
    ),
    "raster-memory": (
        "Decoding needed more memory than allowed and was stopped. Write the raster again.",
        "Le décodage demandait trop de mémoire et a été arrêté. Écrivez le raster de nouveau.",
    ),
    "raster-crash": (
        "The decoder crashed on this file. Write the raster again with an ordinary program.",
        "Le décodeur s'est arrêté sur ce fichier. Réécrivez-le avec un programme ordinaire.",
    ),
    # Values.
    "values-out-of-range": (
        "{pixels} pixels have values that are no class ({values}); allowed are 0 to {highest}.",
        "{pixels} pixels ont une valeur hors des classes ({values}) ; admis : 0 à {highest}.",
    ),
    "values-one-based": (
        "{pixels} pixels have value {value}; allowed are 0 to {highest}. "
        "Predictions are 0-based: subtract 1.",
        "{pixels} pixels valent {value} ; admis : 0 à {highest}. "
        "Les prédictions commencent à 0 : soustrayez 1.",
    ),
    # Folders, offline.
    "path-missing": (
        "There is no such file or folder.",
        "Ce fichier ou dossier n'existe pas.",
    ),
    "file-unreadable": (
        "The file cannot be read.",
        "Le fichier ne peut être lu.",
    ),
    # Notes: accepted, but worth saying.
    "note-ignored-files": (
        "{count} file(s) that are no predictions were ignored, for example {example}.",
        "{count} fichier(s) hors prédictions ignorés, par exemple {example}.",
    ),
    "note-constant-predictions": (
        "{count} prediction(s) hold one single class throughout, for example patch {id}.",
        "{count} prédiction(s) ne contiennent qu'une classe, par exemple le patch {id}.",
    ),
    "note-class-zero-absent": (
        "No pixel of any prediction has class 0. Predictions are 0-based: check that 1 was "
        "subtracted from the mask values.",
        "Aucun pixel n'a la classe 0. Les prédictions commencent à 0 : vérifiez que 1 a bien été "
        "soustrait des valeurs de masque.",
    ),
    "note-not-checked-here": (
        "Could not be checked here: {count} of {looked} rasters looked into ({codec}). "
        "The server will check them.",
        "Non vérifiables ici : {count} des {looked} rasters examinés ({codec}). "
        "Le serveur les vérifiera.",
    ),
    "note-stored-values": (
        "{count} raster(s) carry a display hint (orientation or inverted grey) that is ignored: "
        "stored values and rows count, for example in patch {id}.",
        "{count} raster(s) portent une indication d'affichage (orientation ou gris inversé) "
        "ignorée : seules comptent les valeurs stockées, par exemple patch {id}.",
    ),
}

_ONE: dict[str, tuple[str, str]] = {
    "archive-zero-padding": (
        "1 zero byte follows the end of the archive; none is allowed. Cut it to its {size_bytes} "
        "bytes (truncate -s {size_bytes} FILE) or make it again.",
        "1 octet nul suit la fin de l'archive ; aucun n'est admis. Coupez-la à ses {size_bytes} "
        "octets (truncate -s {size_bytes} FICHIER) ou refaites-la.",
    ),
    "note-not-checked-here": (
        "Could not be checked here: 1 of {looked} rasters looked into ({codec}). "
        "The server will check it.",
        "Non vérifiable ici : 1 des {looked} rasters examinés ({codec}). Le serveur le vérifiera.",
    ),
    "foreign-patches": (
        "1 file belongs to another challenge, {challenge} (id {ids}). Upload it there.",
        "1 fichier relève d'un autre challenge, {challenge} ({ids}). Déposez-le là-bas.",
    ),
    "missing-patches": (
        "1 of {expected} patches is missing: {ids}. Add its raster.",
        "Il manque 1 patch sur {expected} : {ids}. Ajoutez son raster.",
    ),
    "values-out-of-range": (
        "1 pixel has a value that is no class ({values}); allowed are 0 to {highest}.",
        "1 pixel a une valeur hors des classes ({values}) ; admis : 0 à {highest}.",
    ),
    "values-one-based": (
        "1 pixel has value {value}; allowed are 0 to {highest}. "
        "Predictions are 0-based: subtract 1.",
        "1 pixel vaut {value} ; admis : 0 à {highest}. "
        "Les prédictions commencent à 0 : soustrayez 1.",
    ),
}


def _typeset(french: str) -> str:
    """French as it is printed: no line breaks before high punctuation, curly apostrophes.

    >>> _typeset("L'archive : vide").replace(chr(0xA0), "~")
    'L’archive~: vide'
    """
    kept = re.sub(r" (?=[;:!?»])|(?<=«) ", "\u00a0", french)
    return re.sub(r"(?<=\w)'(?=\w)", "’", kept)


CATALOGUE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {code: MappingProxyType({"en": en, "fr": _typeset(fr)}) for code, (en, fr) in _TABLE.items()}
)

# What is said in place of the table's text where `count` or `pixels` is 1.
SINGULAR: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {code: MappingProxyType({"en": en, "fr": _typeset(fr)}) for code, (en, fr) in _ONE.items()}
)

# What the parameters `what` and `kind` may say, English → French: fixed phrases, so that both
# languages are complete and nothing of a library's own message reaches a participant.
_PHRASES: dict[str, str] = {
    # archive-damaged
    "two end records are possible": "deux fins d'archive sont possibles",
    "the end record and its zip64 form differ": "la fin et sa forme zip64 diffèrent",
    "the zip64 end record is missing or misplaced": "la fin zip64 manque ou est mal placée",
    "the directory is not where the end record says": (
        "le répertoire n'est pas où la fin l'indique"
    ),
    "the directory is cut off": "le répertoire est tronqué",
    "the directory has bytes left over": "le répertoire a des octets en trop",
    # member-header-mismatch, member-damaged
    "no local header": "pas d'en-tête local",
    "name": "nom",
    "flags or method": "drapeaux ou méthode",
    "size or checksum": "taille ou somme de contrôle",
    "data descriptor": "descripteur de données",
    "extra field": "champ supplémentaire",
    "not valid deflate data": "données deflate invalides",
    "fewer bytes than announced": "moins d'octets qu'annoncé",
    "more bytes than announced": "plus d'octets qu'annoncé",
    # member-not-regular
    "a symbolic link": "un lien symbolique",
    "a device, socket or pipe": "un périphérique, une socket ou un tube",
    "a folder with content": "un dossier avec un contenu",
    # member-name-unsafe
    "is empty": "est vide",
    "is too long": "est trop long",
    "holds a NUL or control character": "contient un caractère nul ou de contrôle",
    "is not valid UTF-8": "n'est pas de l'UTF-8 valide",
    "is given twice, differently": "est donné deux fois, différemment",
    "holds a backslash, as Compress-Archive of Windows PowerShell 5.1 and programs of .NET before "
    "4.6.1 write it in place of a slash": (
        "contient une barre oblique inverse, comme l'écrivent Compress-Archive de Windows "
        "PowerShell 5.1 et les programmes .NET antérieurs à 4.6.1 au lieu d'une barre oblique"
    ),
    "is absolute": "est absolu",
    "holds a drive letter": "contient une lettre de lecteur",
    "leaves the archive with '..'": "sort de l'archive par '..'",
    # raster-truncated, raster-structure, raster-undecodable
    "the header is incomplete": "l'en-tête est incomplet",
    "a directory lies beyond the end": "un répertoire est au-delà de la fin",
    "a tag's values lie beyond the end": "les valeurs d'une balise sont au-delà de la fin",
    "image data lie beyond the end": "des données d'image sont au-delà de la fin",
    "directories form a cycle": "les répertoires forment un cycle",
    "too many directories": "trop de répertoires",
    "too many tags": "trop de balises",
    "no image directory": "aucun répertoire d'image",
    "a tag is given twice": "une balise est donnée deux fois",
    "a tag has a wrong type or count": "une balise a un type ou un nombre erroné",
    "a required tag is missing": "une balise requise manque",
    "the number of strips or tiles is wrong": "le nombre de bandes ou de tuiles est faux",
    "image data are missing": "des données d'image manquent",
    "image data overlap": "des données d'image se chevauchent",
    "strips and tiles are mixed": "bandes et tuiles sont mélangées",
    "a tile's sides are not multiples of 16 pixels": (
        "les côtés d'une tuile ne sont pas des multiples de 16 pixels"
    ),
    "bits are stored in reverse order": "les bits sont stockés à l'envers",
    "the BigTIFF header is wrong": "l'en-tête BigTIFF est faux",
    "compressed data are damaged": "données compressées abîmées",
    "too few pixels": "trop peu de pixels",
    "the library refuses it": "la bibliothèque le refuse",
}

PHRASES: Mapping[str, str] = MappingProxyType(
    {english: _typeset(french) for english, french in _PHRASES.items()}
)
