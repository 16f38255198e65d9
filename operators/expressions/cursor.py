"""The place in the tokens of a text while it is parsed, and the errors that name it."""

from operators.expressions.errors import ExpressionError, visible
from operators.expressions.syntax import MAX_DEPTH
from operators.expressions.tokens import Token, tokenize

QUERIES = frozenset(("select", "from", "where", "group", "order", "union", "over", "distinct"))


class Cursor:
    """Reads tokens one by one. `level` is how deep the part being read stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.next = 0
        self.level = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def advance(self) -> Token:
        token = self.token
        self.next = min(self.next + 1, len(self.tokens) - 1)
        return token

    def sees(self, *words: str) -> bool:
        return self.token.kind in ("word", "sign") and self.token.text in words

    def accept(self, word: str) -> bool:
        found = self.sees(word)
        if found:
            self.advance()
        return found

    def expect(self, word: str, after: str, opened: Token | None = None) -> Token:
        if self.sees(word):
            return self.advance()
        if opened is not None and self.token.kind == "end":
            raise self.error(
                f"the `{self.text[opened.start : opened.end]}` that begins here has no `{word.upper()}`", opened
            )
        raise self.error(f"expected `{word.upper()}` {after}, found {self.found()}")

    def found(self) -> str:
        return (
            "the end" if self.token.kind == "end" else f"`{visible(self.text[self.token.start : self.token.end][:40])}`"
        )

    def error(self, message: str, token: Token | None = None, hint: str = "") -> ExpressionError:
        token = token or self.token
        return ExpressionError(message, self.text, token.start, token.end - token.start, hint)

    def misplaced(self) -> ExpressionError:
        before = self.tokens[self.next - 1]
        hint = (
            "one operator is missing between them, or the text needs single quotes"
            if before.kind in ("word", "quoted") and self.token.kind in ("word", "string", "quoted", "number")
            else ""
        )
        if self.token.text == ")":
            hint = "no ( belongs to it"
        elif self.token.text == ",":
            hint = "an expression is one condition or value"
        elif self.token.text in QUERIES:
            return self.query()
        return self.error(f"{self.found()} is not expected here", hint=hint)

    def query(self) -> ExpressionError:
        return self.error(
            "queries are not part of the language: an expression looks at one event",
            hint="what an entity did before is a feature (features:)",
        )

    def deepen(self, token: Token) -> None:
        self.level += 1
        if self.level > MAX_DEPTH:
            raise self.too_deep(token.start, token.end)

    def too_deep(self, start: int, end: int) -> ExpressionError:
        return ExpressionError(
            f"the expression nests deeper than {MAX_DEPTH} levels",
            self.text,
            start,
            end - start,
            "split it into derived columns (derive:)",
        )
