"""Data frames in flytekit from 1.5 on: its handlers for structured datasets, mended.

flytekit registers its own when pandas or pyarrow has been imported, and so are
these: they take the place of its own then, not before, and nobody else's.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

from persistence_fsspec.dotted import dotted
from persistence_fsspec.faces.flyte.hosted import HostedFileSystem
from persistence_fsspec.overrides import Override

_STRUCTURED: Final = "flytekit.types.structured"
_THEIRS: Final = f"{_STRUCTURED}.basic_dfs"
_REGISTERING: Final = ("register_pandas_handlers", "register_csv_handlers", "register_arrow_handlers")
"""What flytekit calls before it looks for a handler. The first ones register theirs on import."""

_WHY: Final = "data frames and tables can be stored wherever files can, also below file:// and ftp://"


def override(framework: str) -> Iterator[Override]:
    """Replace flytekit's handlers, as soon as they are registered. Nothing is imported for it.

    Args:
        framework: Name and version, for the record.

    Yields:
        One record, if flytekit has such handlers.
    """
    if _STRUCTURED in sys.modules:
        replacing = _Replacing(sys.modules[_STRUCTURED])
        yield Override(
            framework=framework,
            protocol="",
            before=_THEIRS,
            ours=__name__,
            why=_WHY,
            look=replacing.look,
            restore=replacing.restore,
        )


class _Replacing:
    """Our handlers in the place of flytekit's, in its tables: type, protocol, format.

    Args:
        structured: The module that registers handlers.
    """

    def __init__(self, structured: Any) -> None:
        self._structured = structured
        self._on = True
        self._before = {name: getattr(structured, name) for name in _REGISTERING if hasattr(structured, name)}
        self._after = {name: self._then_ours(register) for name, register in self._before.items()}
        for name, register in self._after.items():
            setattr(structured, name, register)
        self._replace()

    def look(self) -> str:
        hooked = any(getattr(self._structured, name, None) is register for name, register in self._after.items())
        return __name__ if hooked or any(isinstance(one, _Ours) for _, _, one in self._handlers()) else _THEIRS

    def restore(self) -> None:
        self._on = False  # somebody may have wrapped ours
        for name, register in self._after.items():
            if getattr(self._structured, name, None) is register:
                setattr(self._structured, name, self._before[name])
        for handlers, form, one in self._handlers():
            if isinstance(one, _Ours):
                handlers[form] = one.replaced

    def _then_ours(self, register: Callable[[], None]) -> Callable[[], None]:
        @wraps(register)
        def registered() -> None:
            try:
                register()
            finally:  # it raises where somebody has registered some before
                if self._on:
                    self._replace()

        return registered

    def _replace(self) -> None:
        for handlers, form, one in self._handlers():
            ours = _MENDED.get(dotted(type(one)))
            if ours is not None:
                handlers[form] = ours.in_place_of(one)

    def _handlers(self) -> Iterator[tuple[dict[str, Any], str, Any]]:
        engine = self._structured.StructuredDatasetTransformerEngine
        for table in (engine.ENCODERS, engine.DECODERS):
            for by_protocol in table.values():
                for by_format in by_protocol.values():
                    yield from [(by_format, form, one) for form, one in by_format.items()]


class _Ours:
    """Before one of flytekit's classes among the bases.

    Attributes:
        replaced: The handler that this one stands for.
    """

    replaced: Any

    @classmethod
    def in_place_of(cls, handler: Any) -> Any:
        """Make one that is used as *handler* is."""
        theirs = type(handler)
        ours: Any = object.__new__(type(theirs.__name__, (cls, theirs), {"__module__": __name__}))
        vars(ours).update(vars(handler), replaced=handler)
        return ours


class _Encoder(_Ours):
    """Theirs makes a folder named ``file:`` of ``file:///data``, and asks for hosts' files without what the URL says of them."""

    def encode(self, ctx: Any, structured_dataset: Any, structured_dataset_type: Any) -> Any:
        access = ctx.file_access
        given = str(structured_dataset.uri or access.raw_output_prefix)
        hosted = _is_hosted(access, given)
        if not hosted and not given.startswith("file://"):
            return super().encode(ctx, structured_dataset, structured_dataset_type)  # type: ignore[misc]
        uri = structured_dataset.uri or access.get_random_remote_directory()
        here = copy.copy(structured_dataset)
        here.uri = access.get_random_local_directory() if hosted else _local(uri)
        literal = super().encode(ctx, here, structured_dataset_type)  # type: ignore[misc]
        if hosted:
            access.put_data(here.uri, uri, is_multipart=True)
        return type(literal)(uri=uri, metadata=literal.metadata)


class _FrameDecoder(_Ours):
    """As `_Encoder`."""

    def decode(self, ctx: Any, flyte_value: Any, current_task_metadata: Any) -> Any:
        access = ctx.file_access
        if _is_hosted(access, flyte_value.uri):
            folder = access.get_random_local_directory()
            access.get_data(flyte_value.uri, folder, is_multipart=True)
            flyte_value = type(flyte_value)(uri=folder, metadata=flyte_value.metadata)
        return super().decode(ctx, flyte_value, current_task_metadata)  # type: ignore[misc]


class _TableDecoder(_Ours):
    """Theirs looks for what lies in a store on the local disk."""

    def decode(self, ctx: Any, flyte_value: Any, current_task_metadata: Any) -> Any:
        from flytekit.types.structured.basic_dfs import NoCredentialsError

        uri, access, kind = flyte_value.uri, ctx.file_access, current_task_metadata.structured_dataset_type
        columns = [column.name for column in kind.columns] if kind and kind.columns else None
        if not access.is_remote(uri):
            return _read(_local(uri), columns, None)
        try:
            fs = access.get_filesystem_for_path(uri)
            return _read(fs._strip_protocol(uri), columns, fs)
        except NoCredentialsError:  # a public bucket, perhaps
            fs = access.get_filesystem_for_path(uri, anonymous=True)
            return _read(fs._strip_protocol(uri), columns, fs)


def _read(path: str, columns: list[str] | None, fs: Any) -> Any:
    from pyarrow.parquet import read_table  # type: ignore[import-untyped]  # noqa: PLC0415 - when there is a table to read

    return read_table(path, columns=columns, filesystem=fs)


def _is_hosted(access: Any, uri: str) -> bool:
    return access.is_remote(uri) and isinstance(access.get_filesystem_for_path(uri), HostedFileSystem)


def _local(uri: str) -> str:
    return uri.removeprefix("file://")


_MENDED: Final[dict[str, type[_Ours]]] = {
    f"{_THEIRS}.PandasToParquetEncodingHandler": _Encoder,
    f"{_THEIRS}.PandasToCSVEncodingHandler": _Encoder,
    f"{_THEIRS}.ArrowToParquetEncodingHandler": _Encoder,
    f"{_THEIRS}.ParquetToPandasDecodingHandler": _FrameDecoder,
    f"{_THEIRS}.CSVToPandasDecodingHandler": _FrameDecoder,
    f"{_THEIRS}.ParquetToArrowDecodingHandler": _TableDecoder,
}
"""Theirs -> ours."""
