"""Fields that requests to several services have. (`$` alone would let a final newline pass.)"""

from typing import Annotated

from msgspec import Meta

PaymentMethod = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="a token, never a card number")
]

# It is kept for ever, and shown in logs and lists: one line of text.
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)",
        description="why, in words: 1 to 200 printable characters",
    ),
]
