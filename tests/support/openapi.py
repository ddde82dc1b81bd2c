"""Reading an OpenAPI document the way a client does: which schema stands for what."""

import re
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker


class Document:
    """One service's document."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def schema(self, schema: dict[str, Any]) -> Draft202012Validator:
        """A validator for a schema that may refer to the document's components."""
        whole = {**schema, "components": self.content["components"]}
        return Draft202012Validator(whole, format_checker=FormatChecker())

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """The operation of a path template."""
        operation: dict[str, Any] = self.content["paths"][path][method.lower()]
        return operation

    def body(self, method: str, path: str) -> Draft202012Validator:
        """What the operation takes."""
        content = self.operation(method, path)["requestBody"]["content"]
        return self.schema(content["application/json"]["schema"])

    def template(self, path: str) -> str:
        """The path template that a real path is of; one without parameters comes first."""
        for template in sorted(self.content["paths"], key=lambda template: template.count("{")):
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                return str(template)
        raise AssertionError(f"{path} is not documented")

    def check_answer(self, method: str, path: str, status: int, media_type: str, body: Any) -> None:
        """Show that an answer is one that the document tells of."""
        answers = self.operation(method, self.template(path))["responses"]
        assert str(status) in answers, f"{method} {path} does not tell of {status}"
        content = answers[str(status)]["content"]
        assert media_type in content, f"{method} {path} {status} does not tell of {media_type}"
        schema = content[media_type].get("schema")
        if schema is not None:
            self.schema(schema).validate(body)
