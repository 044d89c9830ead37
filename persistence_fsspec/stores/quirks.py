"""What each driver really does, one row per finding, and how it is made right.

A row says who does what, and what we make of it:

* ``normalised``: we call the driver, or its client library, so that the right thing happens;
* ``translated``: its errors become ours;
* ``refused``: the call that would do damage raises before anything happens;
* ``declared``: `Capabilities` says so, and the adapter acts on it.

The keyword arguments of a row are the settings it brings about: fields of
`Capabilities` or of `Habits`. A driver's behaviour is the sum of its rows,
over cautious defaults. Each row has a test that carries its name:
``@pytest.mark.quirk("ftp-append")``.

Measured on fsspec 2026.9, s3fs 2026.9, gcsfs 2026.10, adlfs 2026.8, sshfs 2026.8,
paramiko 5.1, smbprotocol 1.17, webdav4 0.11, hdfs-native 0.14 and pyarrow 26
against moto, Ceph RGW, fake-gcs-server, azurite, pyftpdlib, vsftpd, OpenSSH,
samba, apache, wsgidav, nginx and HDFS 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Final, Literal

from persistence_fsspec.capabilities import Capabilities

Answer = Literal["normalised", "translated", "refused", "declared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What the store must know of a driver beyond its capabilities."""

    stage: Literal["partial", "object", "spool"] = "partial"
    """Where bytes wait until commit. ``partial``: under a partial name in the store. ``object``: in the store's own
    unfinished upload. ``spool``: in a local temporary file, sent in one request."""

    makes_parents: bool = False
    """Writing makes missing folders by itself."""

    heals: bool = True
    """An instance works again after its connection broke; otherwise it is replaced."""

    rename_keeps_info: bool = False
    """A renamed file has the size and time it had before, so that nobody needs to ask."""

    replace_onto_folder: bool = False
    """Renaming onto a folder would replace the folder, so the type is checked first."""

    check_before_delete: bool = False
    """Deleting says nothing of what is missing, or deletes trees, so the object is looked at first."""

    check_before_read: bool = False
    """Reading a folder gives bytes instead of an error, so the type is looked at first."""

    empty_listing_is_doubtful: bool = False
    """``ls`` of a missing folder is empty instead of an error."""

    refused: str = ""
    """Regular expression of what no name may contain: the driver would touch another object."""

    refused_in_writes: str = ""
    """Regular expression of what a new name may not contain: it could not be listed."""

    no_surrogates: bool = True
    """Names that are not valid Unicode cannot be encoded, or are altered."""

    abandon: bool = False
    """A call that is blocked can only be abandoned, in a thread of its own: nothing interrupts it, and no limit ends it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that are set unless the caller sets them."""


@dataclass(frozen=True, slots=True)
class Quirk:
    """One finding.

    Attributes:
        name: Unique; the test carries it.
        drivers: Whom it concerns; ``*`` means everybody.
        answer: What becomes of it.
        finding: What the driver really does.
        remedy: What we do instead.
        settings: Fields of `Capabilities` and `Habits` that it sets.
    """

    name: str
    drivers: tuple[str, ...]
    answer: Answer
    finding: str
    remedy: str
    settings: Mapping[str, Any]


DRIVERS: Final[Mapping[str, str]] = {
    "s3fs.core.S3FileSystem": "s3fs",
    "gcsfs.core.GCSFileSystem": "gcsfs",
    "adlfs.spec.AzureBlobFileSystem": "adlfs",
    "fsspec.implementations.ftp.FTPFileSystem": "ftp",
    "fsspec.implementations.sftp.SFTPFileSystem": "paramiko",
    "sshfs.spec.SSHFileSystem": "sshfs",
    "fsspec.implementations.smb.SMBFileSystem": "smb",
    "webdav4.fsspec.WebdavFileSystem": "webdav",
    "hdfs_native.fsspec.BaseFileSystem": "hdfs-native",
    "fsspec.implementations.arrow.HadoopFileSystem": "pyarrow",
    "fsspec.implementations.webhdfs.WebHDFS": "webhdfs",
    "fsspec.implementations.http.HTTPFileSystem": "http",
    "fsspec.implementations.memory.MemoryFileSystem": "memory",
    "fsspec.implementations.local.LocalFileSystem": "local",
    "fsspec.archive.AbstractArchiveFileSystem": "archive",
    "fsspec.implementations.reference.ReferenceFileSystem": "reference",
    "fsspec.implementations.github.GithubFileSystem": "reference",
    "fsspec.implementations.git.GitFileSystem": "reference",
    "fsspec.implementations.data.DataFileSystem": "reference",
    "lakefs_spec.spec.LakeFSFileSystem": "lakefs",
    "ossfs.core.OSSFileSystem": "object-store",
    "ossfs.async_oss.AioOSSFileSystem": "object-store",
    "tosfs.core.TosFileSystem": "object-store",
    "ocifs.core.OCIFileSystem": "object-store",
    "huggingface_hub.hf_file_system.HfFileSystem": "object-store",
}
"""The drivers we know, by the class at the end of their MRO; a subclass counts as its parent."""


def driver_name(cls: type) -> str:
    """Name the driver behind a filesystem class, ``"unknown"`` for one we have not met."""
    for base in cls.__mro__:
        known = DRIVERS.get(f"{base.__module__}.{base.__qualname__}")
        if known:
            return known
    return "unknown"


def _quirk(name: str, drivers: str, answer: Answer, finding: str, remedy: str, **settings: Any) -> Quirk:
    return Quirk(name, tuple(drivers.split()), answer, finding, remedy, settings)


_BY_NAME_ONLY = "names are passed to the calls for one file, which take them literally"

QUIRKS: Final[tuple[Quirk, ...]] = (
    # --- everybody ------------------------------------------------------------------------------------------------
    _quirk("with-commits-on-error", "*", "normalised", "an exception inside `with open(..., 'wb')` publishes what was written so far", "a writer publishes in `commit`, which an exception never reaches"),
    _quirk("transactions", "*", "normalised", "transactions are ignored by adlfs and break on sshfs, hdfs-native, pyarrow, webdav and ftp", "they are not used: staging and publishing are our own"),
    _quirk("exists-false-on-error", "*", "normalised", "`exists` is False on a refused password, a dead server and HTTP 403 or 500", "`exists` asks `info`, and only a proven 'not found' is False"),
    _quirk("glob-characters", "*", "normalised", "`rm`, `get` and `put` take `*`, `?` and `[` in a name as a pattern and hit its neighbours", _BY_NAME_ONLY),
    _quirk("mv-into-folder", "*", "refused", "`mv(file, existing folder)` moves into it on eight drivers", "a target that is a folder is an `IsAFolderError`"),
    _quirk("bulk-get-leftover", "*", "normalised", "a failed `get_file` leaves an empty or zero-filled file under the final name", "the driver only delivers bytes; files are staged by `LocalStore`"),
    _quirk("find-swallows-errors", "ftp paramiko webhdfs http *", "normalised", "`find` answers [] on a dead connection or a forbidden folder", "trees are walked by `ls`, whose errors arrive"),
    _quirk("dot-dot", "*", "refused", "`..` collapses or escapes, differently everywhere", "`.` and `..` are not names"),
    _quirk("negative-start", "*", "normalised", "a negative start fails on five drivers", "ranges are counted from the beginning before the driver sees them"),
    _quirk("range-behind-the-end", "s3fs gcsfs adlfs ftp sshfs http *", "normalised", "a range that begins at or behind the end is HTTP 416, FTP 554, or an OverflowError", "it is empty, as a slice is"),
    _quirk("surrogates", "*", "refused", "a name that is no valid Unicode raises deep inside, or is stored altered", "it is an `InvalidNameError` beforehand, except on local and memory"),
    _quirk("kept-as-copies", "*", "declared", "no driver keeps what is replaced, or says whether the store does", "a snapshot is a copy in a hidden folder beside the object", versions="copies"),
    _quirk("checksum-is-a-guess", "*", "normalised", "`fs.checksum` hashes the listing, not the content", "it is not used; digests come from what the store itself computed"),
    _quirk("drivers-own-retries", "s3fs gcsfs adlfs webdav smb lakefs pyarrow", "normalised", "a read that a server refuses with 503 is sent 5 times by s3fs (10 times when it resets), 6 times within a minute and a half by gcsfs, 4 times by adlfs, 3 times by webdav4; lakefs sends all but POST four times, also when a reply was lost; connecting is tried 5 times by smb", "one try each, by `config_kwargs` and `fs.retries`, the function inside gcsfs' own retries, `retry_total=0`, `retry=False`, `register_session_retries=0`, urllib3 told so at each request; an instance that the caller made keeps its own, as he may use it elsewhere"),
    _quirk("aiohttp-sends-twice", "s3fs gcsfs adlfs http", "normalised", "when a connection breaks, also after the reply was lost, aiohttp sends GET, HEAD, PUT and DELETE once more: an exclusive write meets its own object, a deletion finds nothing", "each session is told to send once; an instance that the caller made keeps its habits"),
    _quirk("drivers-own-timeouts", "s3fs gcsfs adlfs ftp paramiko sshfs smb webdav webhdfs http lakefs hdfs-native pyarrow", "normalised", "a silent server is waited for without end by webhdfs and lakefs, and by paramiko and sshfs once they are connected; gcsfs and http give up after 5 minutes, also a transfer that is going on", "`Policy.stall_seconds` is the client's own limit for connecting and between two signs of life, and none for the whole, unless the caller sets another"),
    _quirk("sinks-repeat-parts", "s3fs gcsfs adlfs", "normalised", "one part that fails breaks a whole upload: the stream cannot be sent again, and s3fs' file cannot take a part back", "each part is tried again by itself (chunks of gcsfs at Google only, which can say how much has arrived); the last request looks for its own object when the answer to an earlier try was lost"),
    _quirk("interrupted-by-hanging-up", "ftp paramiko", "normalised", "a call that is blocked ends only by its own time limit", "another thread shuts the connections of this one instance down"),
    _quirk("only-abandoned", "hdfs-native pyarrow smb lakefs object-store archive reference unknown", "declared", "a call that is blocked can neither be cancelled nor interrupted, and no option limits it (smb: ten minutes, then as long again)", "it runs in a thread of its own, which is left behind", abandon=True),
    _quirk("fork-async", "s3fs gcsfs adlfs sshfs http", "normalised", "an inherited async instance raises 'not fork-safe'", "the child gets an instance of its own"),
    _quirk("unmeasured-delete", "unknown", "normalised", "a driver may say nothing when what it is to delete is missing, as `dir::s3://` does, or take a folder with all it holds", "the object is looked at first", check_before_delete=True),
    # --- object stores --------------------------------------------------------------------------------------------
    _quirk("object-publish", "s3fs gcsfs adlfs lakefs object-store", "normalised", "`mv` is copy and delete, slow and not atomic; a PUT is atomic", "objects are written under their final name by one commit", publish="atomic", stage="object", flat=True, folders=False, makes_parents=True, copy=True, sign=True, ranges=True),
    _quirk("object-folders", "s3fs gcsfs adlfs lakefs object-store", "normalised", "`rmdir` returns without doing anything, `makedirs` too; only s3fs makes buckets", "neither is called; empty folders are not kept, and a missing bucket is an error, until it is asked for by itself"),
    _quirk("listing-cache", "s3fs gcsfs adlfs ftp", "normalised", "listings are cached for ever: what others wrote or deleted is not seen, nor (adlfs) the own write; `refresh=` is ignored by adlfs and ftp", "the cache is switched off and emptied before each look", options={"use_listings_cache": False}),
    _quirk("object-threads", "s3fs gcsfs adlfs sshfs http webdav webhdfs hdfs-native pyarrow smb memory local archive object-store", "declared", "one instance serves many threads", "it is shared", threads="shared"),
    _quirk("s3-create", "s3fs", "normalised", "`mode='create'` holds only for a single PUT: with parts, some servers overwrite; some answer OSError(EINVAL) for 'exists'", "an exclusive write is one PUT, from a temporary file when large, and a failed condition is `ObjectExistsError`", create=True, if_match=True),
    _quirk("s3-conditions", "s3fs", "refused", "some servers answer a conditional write as if they knew the condition, and overwrite", "before the first of them, a server that is not Amazon's has to refuse one; where it does not, overwrite=False, if_match and append are refused"),
    _quirk("s3-pin", "s3fs", "normalised", "ranged reads carry no If-Match, `cat_file(IfMatch=)` is a TypeError, `open()` pins on some servers and is a TypeError on others", "reads go through `call_s3('get_object', IfMatch=)`", pin="version"),
    _quirk("s3-digest", "s3fs", "declared", "the ETag is the MD5 of a single PUT, and something else after parts or KMS", "32 hex digits count as MD5; a mismatch is settled by reading once more", digest="md5", metadata=True),
    _quirk("s3-empty-range", "s3fs", "normalised", "`cat_file(path, start=0)` of an empty object is 416", "no range is asked from the beginning to the end"),
    _quirk("own-versions", "s3fs gcsfs adlfs", "normalised", "versions are only listed and read with `version_aware=True`, and then a `#` or `?` in a name is taken for one; azurite answers with the present content whatever is asked", "they are listed, read and deleted by single calls; where one outlives its replacement, it is the snapshot"),
    _quirk("s3-unfinished-uploads", "s3fs", "normalised", "`clear_multipart_uploads` removes those of everybody", "they are listed, and removed one by one"),
    _quirk("s3-append", "s3fs", "normalised", "`open('ab')` is not safe against a second writer", "read, extend and replace, on condition of the ETag", append="rewrite"),
    _quirk("s3-delete-missing", "s3fs hdfs-native webhdfs", "normalised", "`rm_file` of a missing object returns None", "the object is looked at before it is deleted", check_before_delete=True),
    _quirk("s3-version-suffix", "s3fs", "refused", "everything from `?versionId=` on is cut off a name, so another object is hit", "such names are refused", refused=r"\?versionId="),
    _quirk("s3-find", "s3fs", "normalised", "`find` collects the whole listing before the first item, and takes no `on_error`", "pages of `list_objects_v2` are read one by one"),
    _quirk("s3-bulk-delete", "s3fs", "normalised", "`rm` of many keys reports no failure of a single one", "keys are deleted one by one, each with its answer"),
    _quirk("s3-timeout", "s3fs", "declared", "a silent server is given up after some retries", "said in the capabilities", own_timeout=True),
    _quirk("s3-unfinished-upload", "s3fs", "declared", "a killed writer leaves an unfinished multipart upload; `clear_multipart_uploads` removes those of others too", "an aborted write removes its own upload and no other"),
    _quirk("s3-parts", "s3fs", "normalised", "some servers pass over checksums (Ceph 16), some say they compare them and do not (moto), and with KMS an ETag is no MD5; an upload in parts may overwrite whatever is there", "an upload asks for a CRC32C of the whole object, tries once whether the server repeats that of a part, and else sends and compares MD5; overwrite=False is refused", parts="any", part_size_min=5 * 1024 * 1024, parts_max=10_000, attributes=("mode", "mtime")),
    _quirk("s3-part-copies", "s3fs", "normalised", "a part is copied on its way into the socket, and read once more for its signature: 2.3 s of one core and twice the memory for a GiB, against 0.7 s", "the client words and signs the request, for a body that its checksum vouches for, and http.client sends it; not through proxies, nor where somebody listens to the client"),
    _quirk("s3-composite-digest", "s3fs", "normalised", "with parts by other tools, ChecksumCRC32C may be one of the parts' checksums", "only what is called FULL_OBJECT, or of a single PUT, counts as a digest"),
    _quirk("gcs-create", "gcsfs", "normalised", "`open('xb')` overwrites", "an exclusive write is `pipe_file(mode='create')`", create=True),
    _quirk("gcs-append", "gcsfs", "normalised", "`open('ab')` overwrites, and no write names the generation it replaces", "read, extend and replace, by a request of our own on condition of the generation", append="rewrite", if_match=True),
    _quirk("gcs-pin", "gcsfs", "normalised", "the generation names a version; If-generation on reads is not enforced everywhere", "reads name the generation in the URL", pin="version", digest="md5", metadata=True),
    _quirk("gcs-emulator-probe", "gcsfs", "normalised", "with an endpoint of one's own, a gRPC probe waits 60 s per call", "the probe is switched off when an endpoint is given, instance by instance"),
    _quirk("gcs-headers", "gcsfs", "translated", "its errors keep no headers, so no Retry-After; a 502 becomes a ProxyError, and a 503 whose text holds `invalid` a ValueError", "the session raises aiohttp's own error for 408, 429 and 5xx"),
    _quirk("gcs-parts", "gcsfs", "normalised", "a resumable upload takes one chunk after the other, and its session is a secret", "parts are objects under reserved names, compared by the CRC32C in each answer, composed by generation, 32 at a time, and deleted; whoever may not delete leaves them behind", parts="any", parts_max=10_000, attributes=("mode", "mtime")),
    _quirk("abfs-body", "adlfs", "declared", "a body that breaks off is asked for three times by the client, a second apart, and no option changes that", "these tries count as one"),
    _quirk("endless-wait", "gcsfs adlfs hdfs-native pyarrow webhdfs", "declared", "a silent server is waited for without end", "said in the capabilities", own_timeout=False),
    _quirk("abfs-commit", "adlfs", "normalised", "`autocommit=False` is ignored: a transaction is visible inside and published after an exception; a forgotten file publishes what it holds when it is collected; older clients name blocks by their offset, so two writers of one blob mix; metadata make `pipe_file` a TypeError", "the client's own calls: nothing but the last one of `commit` lists the blocks, whose names are random", create=True),
    _quirk("abfs-append", "adlfs", "normalised", "append raises on block blobs, and no write names the version it replaces", "read, extend and replace, by the client's own call on condition of the ETag", append="rewrite", if_match=True),
    _quirk("abfs-pin", "adlfs", "normalised", "the driver has no conditional read; the ETag is quoted", "reads go through `download_blob(etag=...)` of the client", pin="version", metadata=True),
    _quirk("abfs-digest", "adlfs", "declared", "content_md5 is a bytearray, and missing for blobs written in blocks", "used where present", digest="md5"),
    _quirk("abfs-parts", "adlfs", "normalised", "blocks that wait are forgotten when somebody else writes the blob, cannot be removed, and must have names of one length", "names of blocks tell upload, number and CRC32C, each block carries its MD5, and the digests are kept in metadata that callers do not see", parts="any", parts_max=50_000, attributes=("mode", "mtime")),
    _quirk("abfs-names", "adlfs", "refused", "adlfs drops newline, tab and a final `?` or `#` from names, so two names become one; the service takes a backslash for a slash, drops dots at the end of a part, and allows no control characters", "names go to the client as they are; those that the service alters are refused", refused=r"[\x00-\x1f\\]|\.(/|$)"),
    _quirk("abfs-errors", "adlfs", "translated", "a missing container and a refused key raise Azure's own errors, which are no OSError", "the table knows them"),
    _quirk("lakefs-publish", "lakefs", "declared", "`mode='create'` is a check on the client; append is not implemented", "overwrite=False and append are refused", threads="shared", sign=False),
    _quirk("lakefs-prefixes", "lakefs", "normalised", "deleting `a` deletes `ab` as well; `d` lists what lies in `dd/`, is a folder when only that is there, and keeps its listings for ever; a root is a ValueError; listing or deleting what is missing is no error; a write makes the branch that it names", "single calls of the client, by whole names; a missing branch is an error", check_before_delete=True),
    _quirk("lakefs-names", "lakefs", "refused", "a name with a line break is cut off behind it", "such names are refused", refused=r"\n"),
    # --- ftp ------------------------------------------------------------------------------------------------------
    _quirk("ftp-threads", "ftp", "normalised", "two threads on one connection: 2 of 416 operations succeed, then nothing does", "each call in flight has a connection of its own", threads="pooled"),
    _quirk("ftp-publish", "ftp", "normalised", "bytes are visible under the name at once, and a broken write loses the old file", "a partial name, then RNFR/RNTO, which replaces", publish="atomic", rename=True),
    _quirk("ftp-create", "ftp", "refused", "`mode='create'` checks, then writes: up to 8 of 8 win; `open('xb')` overwrites", "overwrite=False is refused", create=False),
    _quirk("ftp-append", "ftp", "normalised", "`open('ab')` keeps only the new bytes", "APPE, through the client", append="native"),
    _quirk("ftp-parts", "ftp", "normalised", "nothing of a broken upload is ever sent again in parts, though what arrived stays", "each part is one APPE, and SIZE tells where the next one begins", parts="ordered"),
    _quirk("ftp-errors", "ftp", "translated", "every failed read is a FileNotFoundError; the rest are ftplib errors", "reads go through the client; the words after 550 decide, and in doubt the folder is listed"),
    _quirk("ftp-list-fallback", "ftp", "normalised", "without MLSD, a missing folder lists as empty and times lack the year", "an empty listing is checked; such times are not used", empty_listing_is_doubtful=True, pin="weak"),
    _quirk("ftp-names", "ftp", "refused", "a newline ends the command; without MLSD leading white space is lost in the listing; a URL inside a name is taken apart", "such names are refused", refused=r"[\r\n]|://", refused_in_writes=r"(^|/)\s", max_name_bytes=255),
    _quirk("ftp-upload-blocks", "ftp", "normalised", "an upload is one STOR per 64 KiB, each with a new (TLS) connection", "one STOR per file"),
    _quirk("ftp-goodbye", "ftp", "normalised", "QUIT waits half a minute for a server that has stopped to answer", "two seconds are enough for a goodbye"),
    _quirk("ftp-heal", "ftp", "normalised", "after a broken connection everything fails", "a broken connection is replaced; an idle one is asked before use", heals=False, own_timeout=True),
    # --- ssh ------------------------------------------------------------------------------------------------------
    _quirk("paramiko-threads", "paramiko", "normalised", "two threads on one instance deadlock", "each call in flight has a connection of its own", threads="pooled"),
    _quirk("ssh-publish", "paramiko sshfs", "normalised", "partial files are visible; where the server has no posix-rename, sshfs copies by shell and deletes", "a partial name, then posix-rename by the client's own call", publish="atomic", rename=True),
    _quirk("paramiko-create", "paramiko", "normalised", "`mode='create'` lets several win with mixed content; `open('xb')` makes an empty file", "a partial name, then the plain rename, which refuses an existing name", create=True),
    _quirk("sshfs-create", "sshfs", "normalised", "`mode='create'` is ignored", "a partial name, then the channel's plain rename, which refuses an existing name", create=True),
    _quirk("sshfs-ranges", "sshfs", "normalised", "`cat_file(start, end)` returns the whole file", "open, seek and read"),
    _quirk("sshfs-errors", "sshfs", "translated", "a failed rename or a forbidden file raises asyncssh errors, which are no OSError", "the table knows them"),
    _quirk("sshfs-rmdir", "sshfs", "normalised", "`rmdir` returns as if it had worked, and leaves the folder where it is", "the folder is listed, then removed by the client"),
    _quirk("sftp-takeover", "paramiko sshfs", "normalised", "installing sshfs takes over sftp://, and its options have other names", "both spellings are understood by both"),
    _quirk("paramiko-nagle", "paramiko", "normalised", "4 MiB take 3.8 s: each write waits for its answer, on a socket that collects small packets", "TCP_NODELAY and pipelined writes"),
    _quirk("paramiko-errors", "paramiko", "translated", "credentials, broken connections and failures raise SSHException or OSError('Failure') without errno", "the table knows them"),
    _quirk("ssh-append", "paramiko sshfs smb hdfs-native pyarrow memory", "declared", "append works", "it is used", append="native"),
    _quirk("ssh-parts", "paramiko sshfs", "normalised", "`open('ab')` of sshfs sends blocks in parallel, whose order is the server's; broken uploads begin anew", "each part is written to its place, its end once all in front of it is there", parts="ordered"),
    _quirk("paramiko-lost-answers", "paramiko", "normalised", "closing a file drops the answers to its last pipelined writes: a block that was refused leaves a hole", "each answer is heard before the file is closed"),
    _quirk("ssh-attributes", "paramiko sshfs", "normalised", "mode and time of a file cannot be given by any call of the driver's", "SETSTAT, through the client, before the file gets its name; times are whole seconds", attributes=("mode", "mtime")),
    _quirk("rename-keeps-info", "ftp paramiko sshfs", "declared", "renaming keeps size and time", "a file is looked at once, before it gets its name", rename_keeps_info=True),
    _quirk("ssh-heal", "paramiko sshfs smb", "normalised", "an instance never works again after its connection broke", "it is replaced", heals=False),
    _quirk("ssh-names", "paramiko sshfs", "refused", "a URL inside a name is taken apart", "such names are refused", refused=r"://", max_name_bytes=255),
    _quirk("second-granular-times", "paramiko sshfs pyarrow", "declared", "an equal-sized rewrite within a second changes nothing that can be seen", "the pin is called weak: size and time, before and after", pin="weak"),
    _quirk("ssh-timeout", "paramiko sshfs webdav http smb", "declared", "a silent server is given up by the client itself", "said in the capabilities", own_timeout=True),
    # --- smb ------------------------------------------------------------------------------------------------------
    _quirk("smb-sharing", "smb", "normalised", "files are opened exclusively, also for reading, and readers make 74 of 200 replacements fail", "every file is opened shared", options={"share_access": "rwd"}),
    _quirk("smb-publish", "smb", "normalised", "`mv` onto an existing file fails", "`smbclient.replace`; readers may meet a short absence", publish="swap", rename=True, pin="weak"),
    _quirk("smb-create", "smb", "normalised", "exclusive by luck of sharing", "a partial name, then a rename that refuses an existing name", create=True),
    _quirk("smb-errors", "smb", "translated", "missing files are SMBOSError, no FileNotFoundError; a refused connection is a ValueError", "errno and NTSTATUS decide"),
    _quirk("smb-delete-folder", "smb", "refused", "`rm_file` of an empty folder removes the folder", "the type is looked at first", check_before_delete=True),
    _quirk("smb-names", "smb", "refused", "`? * : \\ < > | \"` and control characters are refused; trailing dots and spaces and DOS devices are listed under 8.3 names", "such names are refused", refused=r"[?*:\\<>|\"\x00-\x1f]", refused_in_writes=r"(?i)[ .](/|$)|(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)", case_sensitive=False, max_name_bytes=255),
    _quirk("fork-hangs", "smb hdfs-native pyarrow", "refused", "a forked child hangs, even with a fresh instance, and smb breaks the parent too", "a driver used before the fork is refused in the child; spawn works", fork="never"),
    _quirk("smb-credentials", "smb", "declared", "sessions are process-wide: a second instance with a wrong password works", "the driver's own; said here"),
    # --- webdav ---------------------------------------------------------------------------------------------------
    _quirk("webdav-publish", "webdav", "normalised", "`mv` onto an existing file fails; an aborted PUT may stay in place", "a partial name, then MOVE with Overwrite, which most servers do as a swap", publish="swap", stage="spool", rename=True),
    _quirk("webdav-create", "webdav", "normalised", "`mode='create'` is a TypeError, `open('xb')` lets several win, If-None-Match too", "a partial name, then MOVE without Overwrite", create=True),
    _quirk("webdav-deletes-trees", "webdav", "refused", "`rm_file(folder)` deletes the whole tree; MOVE onto a folder replaces it", "the type is checked first", check_before_delete=True, replace_onto_folder=True),
    _quirk("webdav-names", "webdav", "refused", "`#`, `?` and control characters break the URL, `a%20b` writes `a b`, and MOVE to `a;b` may arrive as `a`", "such names are refused", refused=r"[#?;\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}", max_name_bytes=255),
    _quirk("webdav-etag", "webdav", "declared", "the ETag is weak for a second after writing, or never changes, and If-Match fails or is ignored", "it is neither sent nor trusted: size and time are compared before and after", pin="weak"),
    _quirk("webdav-resumes", "webdav", "normalised", "a file goes on by a second request when the first breaks off, whatever stands there by then; a range is read from a second request too", "one GET each, and no folder is asked for", check_before_read=True),
    _quirk("webdav-append", "webdav", "refused", "append is an AssertionError", "append is refused", append="none"),
    # --- hadoop ---------------------------------------------------------------------------------------------------
    _quirk("hdfs-publish", "hdfs-native", "normalised", "`mv` onto an existing file fails; a plain write truncates at open", "a partial name, then `mv(overwrite=True)`", publish="atomic", rename=True, makes_parents=True, pin="version"),
    _quirk("hdfs-create", "hdfs-native", "normalised", "with `mode='create'` the last one wins", "a partial name, then `mv` without overwrite", create=True),
    _quirk("hdfs-names", "hdfs-native", "refused", "`#`, `?` and `;` cut the name, newline and tab are dropped: two names become one", "such names are refused", refused=r"[#?;:\n\t\r]", max_name_bytes=255),
    _quirk("hdfs-options", "hdfs-native", "normalised", "option values must be strings", "they are made strings"),
    _quirk("hdfs-copy", "hdfs-native", "normalised", "`cp_file` always fails on absolute paths", "copies go through us", copy=False),
    _quirk("hdfs-errors", "hdfs-native pyarrow", "translated", "RuntimeError and OSError with the name of a Java class", "the name decides"),
    _quirk("arrow-publish", "pyarrow", "normalised", "`mv` onto an existing file deletes it, then renames", "the old file is moved aside, the new one in", publish="swap", makes_parents=True),
    _quirk("arrow-create", "pyarrow", "refused", "every way of exclusive creation had several winners", "overwrite=False is refused", create=False),
    _quirk("arrow-rmdir", "pyarrow", "refused", "`rmdir` deletes a tree that is not empty; deleting what is missing is OSError(5)", "the folder is listed, and the object looked at, first", check_before_delete=True),
    _quirk("arrow-names", "pyarrow", "refused", "`:` is refused; characters beyond U+FFFF are listed under another name", "such names are refused", refused="[:\U00010000-\U0010ffff]", max_name_bytes=255),
    _quirk("webhdfs-publish", "webhdfs", "normalised", "`mv` onto an existing file silently does nothing", "RENAME with OVERWRITE through the client", publish="atomic", rename=True, makes_parents=True, pin="version"),
    _quirk("webhdfs-create", "webhdfs", "normalised", "`overwrite=false` is ignored, two to four win", "a partial name, then RENAME, whose answer is checked", create=True),
    _quirk("webhdfs-rmdir", "webhdfs", "normalised", "`rmdir` returns without doing anything", "DELETE without recursion, through the client"),
    _quirk("webhdfs-errors", "webhdfs", "translated", "most Java exceptions become a RuntimeError without their name", "the answer is looked at before the driver does, and the name decides"),
    _quirk("webhdfs-append", "webhdfs", "refused", "append asks for the URL 'None'", "append is refused", append="none"),
    _quirk("webhdfs-read-folder", "webhdfs http", "normalised", "reading a folder gives b'' or the index page", "the type is looked at first", check_before_read=True),
    _quirk("webhdfs-names", "webhdfs", "refused", "`:` and percent signs are refused or decoded; decomposed Unicode cannot be written", "such names are refused", refused=r"[:%]|[\u0300-\u036f]", max_name_bytes=255),
    # --- http -----------------------------------------------------------------------------------------------------
    _quirk("http-read-only", "http archive reference", "declared", "there is nothing to write to", "writing is refused", write=False, publish="none", versions="none", makes_parents=True),
    _quirk("http-info", "http", "normalised", "`info` is FileNotFoundError for 401, 403, 429, 500, 503 and a dead server", "a HEAD of our own, whose status decides"),
    _quirk("http-ranges", "http", "normalised", "a server without ranges answers with the whole body, and `cat_file(start, end)` returns it", "the status is looked at, and the range cut out here"),
    _quirk("http-pin", "http", "normalised", "`open()` mixes two versions when the file is replaced", "each request carries If-Match where the ETag is strong", pin="version"),
    _quirk("http-listing", "http", "normalised", "listed names are quoted, links lead anywhere, and names that begin with `http` are left out", "the page is read by us, names are decoded, and only what lies below is listed"),
    # --- memory, archives -----------------------------------------------------------------------------------------
    _quirk("memory-publish", "memory", "normalised", "`open('rb')` hands out one shared file with one position", "objects are replaced whole and read by value", publish="atomic", stage="object", create=True, rename=False, makes_parents=True, pin="version", own_timeout=True, no_surrogates=False, flat=False, at_hand=True),
    _quirk("memory-shadow", "memory", "refused", "a file may be written where a folder is, and is then hidden by it", "that is an `IsAFolderError`"),
    _quirk("memory-fork", "memory", "declared", "a forked child has a private copy", "nothing to do: memory belongs to a process"),
    _quirk("memory-urls", "memory", "refused", "a URL or `::` inside a name is another path", "such names are refused", refused=r"::|://"),
    _quirk("archive-listing", "archive reference", "normalised", "folders exist only as parts of names, and reading a missing member is a KeyError in older versions", "folders are derived by the driver's listing, and the member is looked at first", pin="none", own_timeout=True, check_before_read=True),
)  # fmt: skip
"""Later rows win where two set the same field."""

_CAPABILITY_FIELDS: Final = frozenset(f.name for f in fields(Capabilities))


@cache
def traits(driver: str) -> tuple[Capabilities, Habits]:
    """Sum up the rows of one driver, over cautious defaults.

    Args:
        driver: A value of `DRIVERS`, or ``"unknown"``.
    """
    said: dict[str, Any] = {}
    done: dict[str, Any] = {}
    for quirk in QUIRKS:
        if driver not in quirk.drivers and "*" not in quirk.drivers:
            continue
        for name, value in quirk.settings.items():
            (said if name in _CAPABILITY_FIELDS else done)[name] = value
    habits = replace(Habits(), **done)
    return replace(Capabilities(driver=driver), **said, refused_names=_refusals(driver)), habits


def _refusals(driver: str) -> str:
    rows = [q for q in QUIRKS if driver in q.drivers and ("refused" in q.settings or "refused_in_writes" in q.settings)]
    return "; ".join(quirk.finding for quirk in rows)


def refusal(key: str, habits: Habits, capabilities: Capabilities, *, writing: bool) -> str | None:
    """Why this driver cannot hold a name, or None.

    Args:
        key: Tidy, not empty.
        habits: Of the driver.
        capabilities: Of the driver.
        writing: A new name is about to be made; otherwise only names that would mean another object are refused.
    """
    if habits.no_surrogates:
        try:
            key.encode("utf-8")
        except UnicodeEncodeError:
            return "is not valid Unicode"
    for pattern in (habits.refused, habits.refused_in_writes if writing else ""):
        found = re.search(pattern, key) if pattern else None
        if found:
            return f"contains {found.group(0)!r}, which {capabilities.driver} cannot store faithfully"
    limit = capabilities.max_name_bytes
    if writing and limit is not None and any(len(p.encode("utf-8", "surrogatepass")) > limit for p in key.split("/")):
        return f"has a part longer than {limit} bytes"
    return None
