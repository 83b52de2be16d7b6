"""Renders `docs/api.md` from the comments in `proto/streamlog/v1`.

The compiler gives the descriptors with their comments; here they become tables. A comment of the
files is what users read, so there is no second text to keep true.

python -m contract.reference > docs/api.md
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTO: Final = Path(__file__).parents[1] / "proto"
PACKAGE: Final = "streamlog/v1"
FILES: Final = (
    "record_service",
    "log_service",
    "group_service",
    "admin_service",
    "record",
    "batch",
    "error",
)
"""In the order in which a reader wants them."""

_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _ENUM_VALUE, _SERVICE_METHOD = 2, 2, 2
"""Numbers of the fields of descriptors, of which the paths of comments are made."""

_HEAD = """# API reference

Generated from the comments in `proto/streamlog/v1`; a test fails when it is stale. How the calls are
used is in [protocol.md](protocol.md), what errors mean in [errors.md](errors.md).
"""

Path_ = tuple[int, ...]


class CompilationFailed(Exception):
    """The compiler refused the files; it has said why on standard error."""


def descriptors() -> dict[str, FileDescriptorProto]:
    """Of the public files, by name without folder and ending, with their comments."""
    names = [f"{PACKAGE}/{name}.proto" for name in FILES]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as output:
        arguments = [
            "protoc",
            f"-I{PROTO}",
            "--include_source_info",
            "--include_imports",
            f"--descriptor_set_out={output.name}",
            *names,
        ]
        if protoc.main(arguments) != 0:
            raise CompilationFailed(" ".join(names))
        found = FileDescriptorSet.FromString(Path(output.name).read_bytes())
    return {Path(file.name).stem: file for file in found.file}


class Page:
    """The tables of one file."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments: dict[Path_, str] = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        """Markdown."""
        yield f"## {Path(self._file.name).name}"
        for number, service in enumerate(self._file.service):
            yield from self._service(service, (_FILE_SERVICE, number))
        for number, message in enumerate(self._file.message_type):
            yield from self._message(message, (_FILE_MESSAGE, number))
        for number, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, (_FILE_ENUM, number))

    def _service(self, service: ServiceDescriptorProto, path: Path_) -> Iterator[str]:
        yield from self._title(service.name, path)
        yield from ("| call | request | response | |", "|---|---|---|---|")
        for number, method in enumerate(service.method):
            request = _stream(_link(method.input_type), streams=method.client_streaming)
            response = _stream(_link(method.output_type), streams=method.server_streaming)
            text = self._comment((*path, _SERVICE_METHOD, number))
            yield f"| `{method.name}` | {request} | {response} | {text} |"
        yield ""

    def _message(self, message: DescriptorProto, path: Path_) -> Iterator[str]:
        yield from self._title(message.name, path)
        if not message.field:
            yield from ("No fields.", "")
            return
        yield from ("| | field | type | |", "|---|---|---|---|")
        maps = {each.name: each for each in message.nested_type if each.options.map_entry}
        for number, field in enumerate(message.field):
            text = self._comment((*path, _MESSAGE_FIELD, number))
            if field.HasField("oneof_index") and not field.proto3_optional:
                text = f"({message.oneof_decl[field.oneof_index].name}) {text}"
            yield f"| {field.number} | `{field.name}` | {_type(field, maps)} | {text} |"
        yield ""

    def _enum(self, enum: EnumDescriptorProto, path: Path_) -> Iterator[str]:
        yield from self._title(enum.name, path)
        yield from ("| | value | |", "|---|---|---|")
        for number, value in enumerate(enum.value):
            text = self._comment((*path, _ENUM_VALUE, number))
            yield f"| {value.number} | `{value.name}` | {text} |"
        yield ""

    def _title(self, name: str, path: Path_) -> Sequence[str]:
        return (f"### {name}", self._comment(path), "")

    def _comment(self, path: Path_) -> str:
        return self._comments.get(path, "").replace("|", "\\|")


def _link(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    return f"[{name}](#{name.lower()})"


def _stream(text: str, *, streams: bool) -> str:
    return f"stream of {text}" if streams else text


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    if field.type_name:
        text = _link(field.type_name)
    else:
        text = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {text}"
    return f"optional {text}" if field.proto3_optional else text


def render() -> str:
    """The whole page."""
    found = descriptors()
    index = ["| file | services |", "|---|---|"]
    for name in FILES:
        services = ", ".join(_link(service.name) for service in found[name].service)
        index.append(f"| [{name}.proto](#{name}proto) | {services} |")
    pages = [line for name in FILES for line in Page(found[name]).lines()]
    return "\n".join([_HEAD, *index, "", *pages]).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
