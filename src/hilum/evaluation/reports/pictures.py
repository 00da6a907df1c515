"""A small picture beside each difference that a card of reports shows."""

from __future__ import annotations

from dataclasses import replace

from hilum.evaluation.card import Card
from hilum.evaluation.pictures import MOST_CHARACTERS, SIDES, ImageFolder, data_uri, first_shown
from hilum.imaging import Decoder

NO_FILE = "the folder has no picture of this study"


def with_pictures(card: Card, images: ImageFolder, decoder: Decoder, *, most_characters: int = MOST_CHARACTERS) -> Card:
    """The card with thumbnails of the studies whose differences it shows.

    They carry no metadata; one that its file says has text burned in stays blank. Where they do not fit at the smallest
    size, the later differences have none.

    Args:
        card: of reports; see `hilum.evaluation.reports.judge.judge_reports`.
        images: the pictures by study; the first of a study that can be read is shown.
        decoder: reads them.
        most_characters: of all thumbnails together as data URIs.

    Returns:
        The card with `pictures` among its details: `of`, study -> a key of `pictures`; `blank`, study -> why it has
        none; `pictures`, key -> data URI; `studies`, how many are shown; `missing`, how many of them the folder has no
        file of; `left_out`, how many did not fit.
    """
    studies = list(dict.fromkeys(item["study"] for item in card.details.get("worst_differences") or ()))
    blank: dict[str, str] = {}
    sizes: dict[str, dict[int, str]] = {}
    for study in studies:
        paths = images.of(study)
        radiograph = first_shown(paths, decoder) if paths else NO_FILE
        if isinstance(radiograph, str):
            blank[study] = radiograph
        else:
            sizes[study] = {side: data_uri(radiograph.pixels, side) for side in SIDES}
    fits = (side for side in SIDES if sum(len(each[side]) for each in sizes.values()) <= most_characters)
    side = next(fits, SIDES[-1])
    shown: dict[str, str] = {}
    for study, each in sizes.items():
        if sum(map(len, shown.values())) + len(each[side]) <= most_characters:
            shown[study] = each[side]
    keys = {study: f"p{number}" for number, study in enumerate(shown, 1)}
    pictures = {
        "of": keys,
        "blank": blank,
        "pictures": {keys[study]: uri for study, uri in shown.items()},
        "side": side,
        "studies": len(studies),
        "missing": sum(why == NO_FILE for why in blank.values()),
        "left_out": len(sizes) - len(shown),
    }
    return replace(card, details={**card.details, "pictures": pictures})
