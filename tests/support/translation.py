"""A language that nobody speaks: on a page it shows what is not translated, and what has too little room."""

import re

from babel.messages.catalog import Catalog

from mynn_control import languages

LONGER = " lorem ipsum dolor" * 100


def pseudo(name: str, **others: str) -> Catalog:
    """Return a catalog with its texts between ⟦ and ⟧, and a third longer, or with these."""
    catalog = languages.sources(name)
    for message, pairs in languages.messages(catalog):
        texts = [text for text, _ in pairs]
        if re.search(r"[^\W\d_]{2}|%-?\w", languages.PLACE.sub("", texts[0])):  # words, or a date
            texts = [f"⟦{text}{LONGER[: len(languages.PLACE.sub('', text)) // 3]}⟧" for text in texts]
        message.string = tuple(texts) if len(texts) > 1 else others.get(str(message.id), texts[0])
    return catalog
