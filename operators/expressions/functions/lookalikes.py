"""Letters that look like Latin ones, folded to them, so that a text written with them is the same text.

The table holds small letters (Cherokee: the capitals that case folding gives), so that case cannot change the answer: В
and в both become b. Compatibility forms (full width, mathematical, circled) are not here: Unicode normalisation folds
those before.
"""

import string

_PAIRS = (
    ("авсԁеєҽԍнһіӏјкмоөпрԛгѕтѵѡԝхуү", "abcdeeeghhiljkmoonpqrstvwwxyy"),  # Cyrillic
    ("αβεζηικμνορτυχϲϳ", "abezhikmnoptyxcj"),  # Greek
    ("օսոհցյզ", "ounhgjq"),  # Armenian
    ("ᎪᏴᏟᎬᏀᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᎩᏃ", "abceghjklmprstvwyz"),  # Cherokee
    (
        "ıɑɡɩɪʟʀɢʙʜɴʏøđłħŧƀɓƈɗɠƙƥƭƴʋȥɛɔꞵᴀᴄᴅᴇꜰᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢ",
        "iagiilrgbhnyodlhtbbcdgkptyvzeobacdefjkmopstuvwz",
    ),  # Latin with strokes, hooks, and small capitals
)
_ENCLOSED = (0x1F150, 0x1F170, 0x1F1E6)
"""Where A stands among negative circled, negative squared and regional indicator letters: A to Z follow."""

LOOKALIKES: dict[str, str] = {
    alike: plain for alikes, plains in _PAIRS for alike, plain in zip(alikes, plains, strict=True)
}
"""Character to the Latin small letter that it looks like."""

LOOKALIKES |= {chr(first + i): letter for first in _ENCLOSED for i, letter in enumerate(string.ascii_lowercase)}
