"""What is wrong with a document is said in JSON's words, once for each field."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deliveries.faults import NO_CONTROL, NO_NUL, faults, kind


class Document(BaseModel):
    """Something of every kind."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field("", max_length=3, pattern=NO_CONTROL)
    note: str = Field("", pattern=NO_NUL)
    code: str = Field("", pattern="^[0-9]+$")
    either: int | str = 0
    many: list[dict[str, int]] = Field(default_factory=list)
    yes: bool = True


def wrong(document: object) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refused:
        Document.model_validate(document)
    return faults(refused.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], ("", "should be an object")),
        ({"text": 5}, ("text", "should be a text")),
        ({"text": "a\n"}, ("text", "should have no control characters")),
        ({"text": "long"}, ("text", "should have at most 3 characters")),
        ({"note": "\0"}, ("note", "should not contain the NUL character, which cannot be stored")),
        ({"code": "x"}, ("code", "is not of the form that it should have")),
        ({"either": []}, ("either", "should be a whole number or a text")),
        ({"many": [5, 6]}, ("many", "should be an object")),
        ({"yes": 1}, ("yes", "should be true or false")),
        ({"no": 1}, ("no", "is not known here")),
    ],
)
def test_each_field_is_named_with_what_it_should_be(document, said):
    assert wrong(document) == [said]


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (5, "a number"), (0.5, "a number"), (True, "a boolean"), ("", "a text"), ([], "a list")],
)
def test_kinds_of_json_have_their_names(value, name):
    assert kind(value) == name
