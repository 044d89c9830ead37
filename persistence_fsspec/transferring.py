"""The half of the adapter that moves files and trees; `persistence` is the other half."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, overload

from persistence_fsspec import config
from persistence_fsspec.addresses import Address, Place
from persistence_fsspec.errors import (
    ConflictError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.redaction import redact
from persistence_fsspec.rooted import Rooted
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.compare import Compare, is_proof
from persistence_fsspec.transfer.journal import entry
from persistence_fsspec.transfer.patterns import Patterns
from persistence_fsspec.transfer.plan import Plan, TreeLinks
from persistence_fsspec.transfer.preserve import Attribute
from persistence_fsspec.transfer.progress import Progress, as_progress
from persistence_fsspec.transfer.remove import delete_copied
from persistence_fsspec.transfer.report import FileOutcome, TransferReport
from persistence_fsspec.transfer.request import Request

MAX_DELETE: Final = 100
"""`Transferring.sync` deletes no more than this unless it is told to."""


class Transferring(Rooted):
    """`put`, `get`, `copy`, `move` and `sync`: one plan, one engine, one report.

    What they have in common: the contents of a folder go into the target, and doing it twice gives the same tree. Files that
    are proven to be there already are skipped. All that can be moved is moved before the first failure is raised. A transfer
    that was cut off, by whatever, goes on where it was when it is begun again.
    """

    _exclusive: ClassVar[bool] = True
    """See `Request.exclusive`."""

    @overload
    def put(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[False] = False,
        progress: Any = None,
    ) -> TransferReport: ...

    @overload
    def put(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[True],
        progress: Any = None,
    ) -> Plan: ...

    def put(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: bool = False,
        progress: Any = None,
    ) -> TransferReport | Plan:
        """Store a file or a tree of this machine.

        Args:
            from_path: A local path.
            to_path: Where to. A file goes to exactly this name, or, if it ends in ``/``, into it under its own name.
            recursive: *from_path* may be a folder; its contents go into *to_path*.
            overwrite: Replace what is there. Otherwise a name that is taken by something else fails, atomically where the store can.
            include: Of a tree, only names that match these gitignore patterns.
            exclude: Of a tree, no name that matches.
            links: Symbolic links in a tree: ``follow`` copies what they lead to, ``skip`` leaves them out, ``error`` fails
                them; each is told in the report.
            preserve: ``["mode", "mtime"]`` or one of them: kept with the files that are copied, where they can be; the report says
                where not. Files that are skipped are left as they are.
            compare: When a file of a tree is there already, and skipped: ``digest`` when that is proven, by a digest or by the
                journal of an earlier run; ``mtime`` also when it has the same size and is not newer; ``never``. One single
                file is compared from 16 MiB on.
            dry_run: Return the plan instead; iterate it to see each step.
            progress: True for a bar; a `Progress`; an ``fsspec.Callback``.

        Returns:
            What became of each file.

        Raises:
            ObjectNotFoundError: There is nothing at *from_path*.
            IsAFolderError: A folder, without *recursive*.
            ConflictError: Another process on this machine is carrying out the same transfer.
            TransferError: Some files of a tree did not arrive. The rest did; the report is in the error.
            PersistenceError: A single file did not arrive, and why.

        Examples:
            >>> import pathlib, tempfile
            >>> from persistence_fsspec import FSSpecPersistence
            >>> here = pathlib.Path(tempfile.mkdtemp(), "a.txt")
            >>> _ = here.write_text("hello")
            >>> len(FSSpecPersistence("memory://backup").put(here, "copies/").copied)
            1
        """
        foreign = self._foreign(to_path)
        if foreign is not None:
            _refuse_beyond_the_five(foreign, overwrite=overwrite, include=include, exclude=exclude, dry_run=dry_run)
            return _foreign_report("put", from_path, to_path, foreign.put(str(from_path), str(to_path), recursive))
        with self._helpful(Path(from_path) if isinstance(from_path, str) else from_path, "put"):
            return self._transfer(
                "put",
                self._local_place(from_path),
                self._place(to_path),
                recursive=recursive,
                overwrite=overwrite,
                include=include,
                exclude=exclude,
                links=links,
                preserve=preserve,
                compare=compare,
                dry_run=dry_run,
                progress=progress,
            )

    @overload
    def get(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[False] = False,
        progress: Any = None,
    ) -> TransferReport: ...

    @overload
    def get(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[True],
        progress: Any = None,
    ) -> Plan: ...

    def get(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: bool = False,
        progress: Any = None,
    ) -> TransferReport | Plan:
        """Fetch a file or a tree to this machine.

        Args:
            from_path: Where from.
            to_path: A local path. A file goes to exactly this name, or, if it is an existing folder or ends in ``/``, into it.
            recursive: *from_path* may be a folder; its contents go into *to_path*.
            overwrite: See `put`, as the rest.
            include: See `put`.
            exclude: See `put`.
            links: See `put`.
            preserve: See `put`.
            compare: See `put`.
            dry_run: See `put`.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            ObjectNotFoundError: There is nothing at *from_path*.
            IsAFolderError: A folder, without *recursive*.
            ConflictError: Another process on this machine is carrying out the same transfer.
            TransferError: Some files of a tree did not arrive. The rest did.
            PersistenceError: A single file did not arrive, and why.
        """
        foreign = self._foreign(from_path)
        if foreign is not None:
            _refuse_beyond_the_five(foreign, overwrite=overwrite, include=include, exclude=exclude, dry_run=dry_run)
            return _foreign_report("get", from_path, to_path, foreign.get(str(from_path), str(to_path), recursive))
        with self._helpful(from_path, "get"):
            return self._transfer(
                "get",
                self._place(from_path),
                self._local_place(to_path),
                recursive=recursive,
                overwrite=overwrite,
                include=include,
                exclude=exclude,
                links=links,
                preserve=preserve,
                compare=compare,
                dry_run=dry_run,
                progress=progress,
            )

    @overload
    def copy(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[False] = False,
        progress: Any = None,
    ) -> TransferReport: ...

    @overload
    def copy(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[True],
        progress: Any = None,
    ) -> Plan: ...

    def copy(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: bool = False,
        progress: Any = None,
    ) -> TransferReport | Plan:
        """Copy from any store to any store, inside the store where it can, else through memory.

        Args:
            src: Where from.
            dst: Where to; see `put`.
            recursive: *src* may be a folder.
            overwrite: See `put`, as the rest.
            include: See `put`.
            exclude: See `put`.
            links: See `put`.
            preserve: See `put`.
            compare: See `put`.
            dry_run: See `put`.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            ConflictError: Another process on this machine is carrying out the same transfer.
            TransferError: Some files of a tree did not arrive.
            PersistenceError: A single file did not arrive, and why.
        """
        with self._helpful(src, "copy"):
            return self._transfer(
                "copy",
                self._place(src),
                self._place(dst),
                recursive=recursive,
                overwrite=overwrite,
                include=include,
                exclude=exclude,
                links=links,
                preserve=preserve,
                compare=compare,
                dry_run=dry_run,
                progress=progress,
            )

    @overload
    def move(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[False] = False,
        progress: Any = None,
    ) -> TransferReport: ...

    @overload
    def move(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: Literal[True],
        progress: Any = None,
    ) -> Plan: ...

    def move(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "digest",
        dry_run: bool = False,
        progress: Any = None,
    ) -> TransferReport | Plan:
        """Move: rename where the store can, else copy, verify, and only then delete.

        Args:
            src: Where from.
            dst: Where to; see `put`.
            recursive: *src* may be a folder.
            overwrite: See `put`. What fails because its name is taken stays at its source.
            include: See `put`. What is left out stays; folders that are empty afterwards go.
            exclude: See `put` and *include*.
            links: See `put`. What is left out stays.
            preserve: See `put`.
            compare: See `put`; only ``digest``, which is proof, and ``never``.
            dry_run: See `put`.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            TransferError: Some files of a tree did not arrive. Nothing was deleted; all are still at their source.
            PersistenceError: A single file did not arrive, and why.
        """
        source, target = self._place(src), self._place(dst)
        with self._helpful(src, "move"):
            info = _tree_or_file(source) if recursive else source.store.info(source.key)
        exact = target if info.is_folder else target.exact(source.key.rpartition("/")[2])
        request = self._request(
            "move",
            source,
            exact,
            recursive=recursive,
            overwrite=overwrite,
            include=include,
            exclude=exclude,
            links=links,
            preserve=preserve,
            compare=compare,
        )
        if dry_run:
            return request.plan()
        if source.is_same(exact):
            return _nothing_to_do("move", source)
        # Renaming replaces; only a writer can be told not to.
        if overwrite and not info.is_folder and source.store is exact.store and source.store.capabilities.rename:
            return _renamed(source, exact, as_progress(progress))
        _refuse_disguise(source, exact, info)
        report = self._carried_out(request, progress)
        whole = include is None and exclude is None and links == "follow"
        moved = (file for file in report.files if file.status == "copied" or is_proof(file.reason))
        stay = {
            file.key for file in report.skipped if not is_proof(file.reason)
        }  # links in circles: nothing else is left out then
        delete_copied(source.store, info, moved, self._policy, links=whole, stay=stay if whole else ())
        return report

    @overload
    def sync(
        self,
        src: Address,
        dst: Address,
        *,
        delete: bool = False,
        max_delete: int | None = MAX_DELETE,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "auto",
        dry_run: Literal[False] = False,
        progress: Any = None,
    ) -> TransferReport: ...

    @overload
    def sync(
        self,
        src: Address,
        dst: Address,
        *,
        delete: bool = False,
        max_delete: int | None = MAX_DELETE,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "auto",
        dry_run: Literal[True],
        progress: Any = None,
    ) -> Plan: ...

    def sync(
        self,
        src: Address,
        dst: Address,
        *,
        delete: bool = False,
        max_delete: int | None = MAX_DELETE,
        include: Patterns = None,
        exclude: Patterns = None,
        links: TreeLinks = "follow",
        preserve: Collection[Attribute] = (),
        compare: Compare = "auto",
        dry_run: bool = False,
        progress: Any = None,
    ) -> TransferReport | Plan:
        """Make a tree at any store like one at any other: what is new or different is copied, and with *delete* the rest goes.

        Args:
            src: A folder.
            dst: The folder that becomes like it.
            delete: Delete what *dst* has and *src* has not: at the end, and only if everything was listed and has arrived.
                What *include* and *exclude* leave out stays, and so do *src* itself and what lies behind links to folders; FTP
                servers do not say what is a link.
            max_delete: If there is more to delete, nothing is, and that is an error; None for any number.
            include: See `put`.
            exclude: See `put`.
            links: See `put`.
            preserve: See `put`.
            compare: When a file is taken for the same, its size being equal: ``auto`` compares digests where both stores
                say them, and elsewhere takes what is not newer than its copy for the same; ``mtime``; ``digest`` demands proof, and
                may read files of this machine for it; ``never``. The report tells for each file.
            dry_run: Return the plan instead, deletions included.
            progress: See `put`.

        Returns:
            What became of each file: copied, skipped (and why), deleted.

        Raises:
            ObjectNotFoundError: There is no *src*.
            ConflictError: Another process on this machine is carrying out the same transfer.
            TransferError: Some files did not arrive, or there was too much to delete. Nothing is deleted then.
        """
        with self._helpful(src, "sync"):
            source, target = self._place(src), self._place(dst)
            if not source.store.capabilities.flat and not source.store.info(source.key).is_folder:
                raise NotAFolderError(
                    "is a file, and sync is for trees", operation="sync", url=source.url, hint="copy() copies it."
                )
            return self._transfer(
                "sync",
                source,
                target,
                recursive=True,
                include=include,
                exclude=exclude,
                links=links,
                preserve=preserve,
                compare=compare,
                delete=delete,
                max_delete=max_delete,
                dry_run=dry_run,
                progress=progress,
            )

    def resume(self, report_or_id: TransferReport | str, *, progress: Any = None) -> TransferReport:
        """Carry a transfer out once more, as it was asked for: what has arrived is skipped, what was cut off goes on.

        To call the same method again does the same; this is for who has only the report, or its id (``persist resume`` lists them).

        Args:
            report_or_id: Of a transfer that this machine began.
            progress: See `put`.

        Raises:
            ObjectNotFoundError: This machine knows no such transfer.
            TransferError: Some files did not arrive, again.
        """
        known = entry(report_or_id if isinstance(report_or_id, str) else report_or_id.id)
        meaning = dict(known.meaning)
        if known.operation == "move":
            names = ("recursive", "overwrite", "include", "exclude", "links", "preserve", "compare")
            target = f"{known.target.rstrip('/')}/" if meaning["into_folder"] else known.target
            options: dict[str, Any] = {name: meaning[name] for name in names}
            return self.move(known.source, target, progress=progress, dry_run=False, **options)
        if meaning["recursive"]:
            del meaning["into_folder"]
        source, target_place = self._place(known.source), self._place(known.target)
        request = self._request(known.operation, source, target_place, **{**meaning, "preserve": tuple(meaning["preserve"])})
        return self._carried_out(request, progress)

    # --- from a request to a report ---

    def _transfer(
        self, operation: str, source: Place, target: Place, *, dry_run: bool, progress: Any, recursive: bool, **options: Any
    ) -> TransferReport | Plan:
        request = self._request(operation, source, target, recursive=recursive, **options)
        if dry_run:
            return request.plan()
        if source.is_same(target) or (not recursive and source.is_same(target.exact(source.key.rpartition("/")[2]))):
            source.store.info(source.key)
            return _nothing_to_do(operation, source)
        return self._carried_out(request, progress)

    def _request(self, operation: str, source: Place, target: Place, **options: Any) -> Request:
        return Request(
            operation=operation,
            source=source.store,
            source_key=source.key,
            target=target.store,
            target_key=target.key,
            **{"into_folder": target.names_folder, "exclusive": self._exclusive, **options},
        )

    def _carried_out(self, request: Request, progress: Any) -> TransferReport:
        report = request.carry_out(self._policy, as_progress(progress))
        if not request.recursive and report.failed:
            error = report.failed[0].error
            raise error if error is not None else PersistenceError("failed", operation=request.operation, url=report.target)
        report.raise_for_failures()
        return report


def _refuse_disguise(source: Place, target: Place, info: ObjectInfo) -> None:
    """One server under two addresses: a move would copy a file onto itself, and then delete it."""
    protocols = {config.canonical(place.location.protocol) for place in (source, target)}
    if source.store is target.store or len(protocols) > 1:
        return
    if info.is_folder:
        first = next(source.store.find(source.key), None)
        if first is None:
            return
        info, target = first, target.inside(first.key[len(source.key) :].lstrip("/"))
    with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
        there = target.store.info(target.key)
        if there.modified is not None and info.same_content(there):
            raise ConflictError(
                f"{source.store.url(info.key)} and {target.url} look like one file under two addresses",
                operation="move",
                url=target.url,
                hint="If they are two, copy() and then delete() the source.",
            )


def _tree_or_file(source: Place) -> ObjectInfo:
    """What is moved of a flat store, where an object and a folder may share a name: the folder, as it is copied."""
    if source.store.capabilities.flat:
        with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
            if next(source.store.find(source.key), None) is not None:
                return ObjectInfo(key=source.key, kind="folder")
    return source.store.info(source.key)


def _renamed(source: Place, target: Place, listener: Progress) -> TransferReport:
    try:
        source.store.rename(source.key, target.key)
        listener.finish(target.url, "copied")
    finally:
        listener.close()
    moved = FileOutcome(source=source.url, target=target.url, status="copied")
    return TransferReport(operation="move", source=source.url, target=target.url, files=(moved,))


def _nothing_to_do(operation: str, place: Place) -> TransferReport:
    same = FileOutcome(source=place.url, target=place.url, status="skipped")
    return TransferReport(operation=operation, source=place.url, target=place.url, files=(same,))


def _refuse_beyond_the_five(foreign: Any, *, overwrite: bool, include: Patterns, exclude: Patterns, dry_run: bool) -> None:
    if not overwrite or include is not None or exclude is not None or dry_run:
        raise UnsupportedPersistenceOp(
            f"{type(foreign).__name__} serves this protocol, and knows neither overwrite=False nor include, exclude and dry_run"
        )


def _foreign_report(operation: str, source: Address, target: Address, answer: Any) -> TransferReport:
    if isinstance(answer, TransferReport):
        return answer
    return TransferReport(operation=operation, source=redact(str(source)), target=redact(str(target)))
