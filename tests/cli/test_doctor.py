"""The doctor names what is wrong, and the way out."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.diagnosis.checks import within
from persistence_fsspec.diagnosis.doctor import diagnose
from persistence_fsspec.diagnosis.endpoints import AWS_BY_DEFAULT, Endpoint, endpoint_of
from persistence_fsspec.diagnosis.hadoop import native_parts
from persistence_fsspec.diagnosis.network import resolve
from persistence_fsspec.errors import OperationTimeoutError
from persistence_fsspec.location import parse
from tests.servers.process import HOST, free_port


def by_name(said):
    return {check["name"]: check for check in said.json["checks"]}


def arguments(options):
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


@pytest.mark.server("s3")
def test_a_healthy_server(persist, s3_server):
    """Nothing is wrong, and every question was asked; the probe is gone again."""
    said = persist("doctor", f"{s3_server.url}/doctor", "--write", "--json", *arguments(s3_server.storage_options))

    assert said.code == 0, said.out
    checks = by_name(said)
    assert [name for name, check in checks.items() if check["status"] == "problem"] == []
    for name in ("driver", "options", "address", "name", "connection", "proxy", "credentials", "clock", "list", "read", "write"):
        assert checks[name]["status"] == "ok", (name, checks[name])
    assert "s3fs 20" in checks["driver"]["found"]
    assert "secret from storage_options" in checks["credentials"]["found"]
    assert s3_server.raw_keys("doctor/") == []


@pytest.mark.server("ftp")
def test_a_healthy_ftp_server(persist, ftp_server):
    """Without HTTP, without TLS."""
    said = persist("doctor", ftp_server.url, "--write", *arguments(ftp_server.storage_options))

    assert said.code == 0, said.out
    assert "nothing is wrong" in said.out


@pytest.mark.server("ftp")
def test_writing_leaves_no_folder_behind(persist, ftp_server):
    """Those that were there stay, those that the probe needed go."""
    ftp_server.raw_write("doctor-kept/x", b"1")
    options = arguments(ftp_server.storage_options)
    new, old = (persist("doctor", f"{ftp_server.url}/{name}", "--write", *options) for name in ("doctor-new/in", "doctor-kept"))

    assert (new.code, old.code) == (0, 0), new.out + old.out
    listed = persist("ls", ftp_server.url, *options).out
    assert "doctor-new" not in listed
    assert "doctor-kept" in listed


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.server(name)) for name in ("gcs", "azure", "sftp", "webdav", "ftp_list")]
)
def test_every_other_healthy_server(name, request):
    """Nothing is wrong, whatever the protocol."""
    server = request.getfixturevalue(f"{name}_server")
    found = diagnose(FSSpecPersistence(server.url, storage_options=server.storage_options), write=True)

    assert [check.as_dict() for check in found.problems] == []
    checks = {check.name: check.status for check in found.checks}
    assert (checks["connection"], checks["list"], checks["write"]) == ("ok", "ok", "ok")


@pytest.mark.server("http")
def test_a_web_server_is_only_read(http_server):
    """Writing is not tried."""
    http_server.raw_write("doctor.txt", b"x")
    found = diagnose(FSSpecPersistence(f"{http_server.url}/doctor.txt"), write=True)

    assert [check.as_dict() for check in found.problems] == []
    assert {check.name: check.status for check in found.checks}["write"] == "skipped"


def test_a_dead_port(persist):
    """The connection is the problem, and nothing that needs it is tried."""
    said = persist("doctor", f"ftp://{HOST}:{free_port()}/x", "--json")

    assert said.code == 1
    checks = by_name(said)
    assert checks["connection"]["status"] == "problem"
    assert "refused" in checks["connection"]["found"]
    assert "firewall" in checks["connection"]["way_out"]
    assert checks["list"]["status"] == "skipped"


def test_a_name_that_nobody_knows(persist):
    """The name is the problem."""
    said = persist("doctor", "sftp://nowhere.invalid/x", "--json")

    assert said.code == 1
    checks = by_name(said)
    assert checks["name"]["status"] == "problem"
    assert "spelling" in checks["name"]["way_out"]
    assert "connection" not in checks


@pytest.mark.server("s3")
@pytest.mark.parametrize("wrong", ["wrong_options", "unknown_options"])
def test_wrong_credentials(persist, strict_s3_server, wrong):
    """The way is fine, the login is not; the exit code says so, and no secret is shown."""
    options = getattr(strict_s3_server, wrong)
    said = persist("doctor", strict_s3_server.url, "--json", *arguments(options))

    assert said.code == 5, said.out
    checks = by_name(said)
    assert checks["connection"]["status"] == "ok"
    assert checks["list"]["error"] == "AuthenticationError"
    assert options["key"] not in said.out


@pytest.mark.server("s3")
def test_a_missing_bucket(persist, s3_server):
    """Not an empty one."""
    said = persist("doctor", "s3://no-such-bucket-at-all", "--json", *arguments(s3_server.storage_options))

    assert said.code == 4
    assert "bucket" in by_name(said)["list"]["way_out"]
    assert by_name(said)["list"]["found"] == "bucket not found: no-such-bucket-at-all"


def test_no_credentials(persist, monkeypatch):
    """Where they could come from."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = persist("doctor", "s3://bucket", "-o", f"endpoint_url=http://{HOST}:{free_port()}", "--json")

    assert by_name(said)["credentials"]["status"] == "warning"
    assert "AWS_ACCESS_KEY_ID" in by_name(said)["credentials"]["way_out"]


@pytest.mark.server("s3")
def test_no_credentials_are_the_problem_with_the_way_out(persist, s3_server, monkeypatch):
    """What was found out about them stands beside the problem that they cause."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = persist("doctor", s3_server.url, "-o", f"endpoint_url={s3_server.endpoint_url}", "--json")

    assert said.code == 5, said.out
    assert "AWS_ACCESS_KEY_ID" in by_name(said)["list"]["way_out"]


@pytest.mark.parametrize("named", ["nobody", "option", "environment"])
def test_without_an_endpoint_it_is_aws(named, monkeypatch):
    """Which is said: most who forget it mean another store."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    if named == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example")
    options = {"endpoint_url": "http://minio.example"} if named == "option" else {}
    found = endpoint_of("s3fs", parse("s3://b"), options, {})

    assert ("no endpoint_url is set, so this is AWS" in found.note) is (named == "nobody")
    assert ("-o endpoint_url=" in found.note) is (named == "nobody")


def test_a_host_that_nobody_chose_is_told_with_its_way_out():
    """The note stands before the guesses."""
    endpoint = Endpoint(host="nowhere.invalid", port=443, origin="AWS in region us-east-1", note=AWS_BY_DEFAULT)
    resolved, _ = resolve(endpoint)

    assert resolved.way_out.startswith("No endpoint_url is set, so this is AWS")


def test_credentials_from_the_environment_are_named_not_shown(persist, monkeypatch):
    """By whoever of botocore found them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAABCDEFGHIJ")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    said = persist("doctor", "s3://bucket", "-o", f"endpoint_url=http://{HOST}:{free_port()}", "--json")

    assert "found by env" in by_name(said)["credentials"]["found"]
    assert "AKIAABCDEFGHIJ" not in said.out
    assert "hunter2hunter2" not in said.out


@pytest.mark.parametrize(
    ("args", "code", "check"),
    [
        (("dropbox://x",), 7, "driver"), (("nope://x",), 2, "driver"), (("s3://b", "-o", "endpont_url=x"), 2, "options"),
        (("s3://b", "-o", "endpoint_url=minio:9000"), 2, "address"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_before_the_network(persist, args, code, check):
    """Ends there, with the way out."""
    said = persist("doctor", *args, "--json")

    assert said.code == code
    assert by_name(said)[check]["status"] == "problem"
    assert by_name(said)[check]["way_out"]


@pytest.mark.parametrize("url", [".", "memory://doctor"])
def test_this_machine(persist, url):
    """Trivial, and still an answer."""
    said = persist("doctor", url, "--write", "--json")

    assert said.code == 0, said.out
    assert by_name(said)["write"]["status"] == "ok"


def test_a_proxy_that_comes_in_between(persist, monkeypatch):
    """Is named without its password, and not blamed where it is not used."""
    monkeypatch.setenv("HTTP_PROXY", f"http://me:hunter2hunter2@{HOST}:1")
    port = free_port()
    web = persist("doctor", f"http://{HOST}:{port}/", "--json")
    other = persist("doctor", f"ftp://{HOST}:{port}/", "--json")

    assert by_name(web)["proxy"]["status"] == "warning"
    assert "NO_PROXY" in by_name(web)["proxy"]["way_out"]
    assert by_name(other)["proxy"]["status"] == "ok"
    assert "hunter2hunter2" not in web.out + other.out


def test_a_chain_points_to_what_is_behind(persist, tmp_path):
    """The archive is opened; for its own store there is another question."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x", b"1")
    said = persist("doctor", f"zip://::{tmp_path.as_uri()}/a.zip", "--json")

    assert said.code == 0, said.out
    assert f"persist doctor {tmp_path.as_uri()}/a.zip" in by_name(said)["address"]["found"]


def test_a_password_in_a_url_is_not_shown(persist):
    """Neither by the doctor, nor by anybody else."""
    url = f"ftp://me:hunter2hunter2@{HOST}:{free_port()}/x"
    for said in (
        persist("doctor", url),
        persist("explain", url),
        persist("ls", url, "-p", "attempts=1"),
        persist("cat", url, "-vv", "-p", "attempts=1"),
    ):
        assert "me" in said.out + said.err
        assert "hunter2hunter2" not in said.out + said.err


# --- Hadoop ---


@pytest.fixture
def no_hadoop(monkeypatch, tmp_path):
    """A machine without any of it."""
    for name in ("JAVA_HOME", "HADOOP_HOME", "HADOOP_CONF_DIR", "CLASSPATH", "ARROW_LIBHDFS_DIR", "KRB5CCNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_native_parts_that_are_missing(no_hadoop):
    """Each with its way out."""
    found = {check.name: check for check in native_parts("pyarrow")}

    assert (found["Java"].status, found["Hadoop classes"].status, found["libhdfs"].status) == ("problem", "problem", "warning")
    assert "JAVA_HOME" in found["Java"].way_out
    assert "classpath --glob" in found["Hadoop classes"].way_out
    assert "ARROW_LIBHDFS_DIR" in found["libhdfs"].way_out
    assert all(check.status != "problem" for check in native_parts("hdfs-native"))


def test_the_native_parts_that_are_there(no_hadoop, monkeypatch):
    """Named with their places."""
    (no_hadoop / "bin").mkdir()
    for name in ("bin/java", "libhdfs.so", "libhdfs.dylib", "core-site.xml", "hdfs-site.xml", "tickets"):
        (no_hadoop / name).touch()
    monkeypatch.setenv("CLASSPATH", "a.jar:b.jar")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{no_hadoop}/tickets")
    for name in ("JAVA_HOME", "ARROW_LIBHDFS_DIR", "HADOOP_CONF_DIR"):
        monkeypatch.setenv(name, str(no_hadoop))

    assert {check.name: check.status for check in native_parts("pyarrow")} == dict.fromkeys(
        ("Java", "Hadoop classes", "libhdfs", "Hadoop configuration", "Kerberos"), "ok"
    )


# --- TLS ---


def certificate(folder, *, name, days):
    """A throw-away certificate that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    host = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def listener(tmp_path):
    """Starts a server on loopback that only shakes hands; returns its port and its certificate."""
    ends = []

    def start(name=HOST, days=365):
        cert, key = certificate(tmp_path, name=name, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        raw = socket.create_server((HOST, 0))

        def serve():
            while True:
                try:
                    connection, _ = raw.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as shaken:
                        shaken.recv(1000)
                        shaken.sendall(
                            b"HTTP/1.1 403 Forbidden\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        )
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ends.append((raw, thread))
        return raw.getsockname()[1], cert

    yield start
    for raw, thread in ends:
        raw.shutdown(socket.SHUT_RDWR)
        raw.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("name", "days", "said"), [(HOST, 365, "is self-signed"), (HOST, -1, "self-signed"), ("other.example", 365, "self-signed")]
)
def test_a_certificate_that_nobody_trusts(persist, listener, name, days, said):
    """What is wrong with it, whose it is, until when, and what to do."""
    port, _ = listener(name, days)
    found = persist("doctor", "s3://b", "-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b", "--json")

    assert found.code == 5, found.out
    tls = by_name(found)["TLS"]
    assert said in tls["found"]
    assert f"CN={name}" in tls["found"]
    assert "AWS_CA_BUNDLE" in tls["way_out"]


@pytest.mark.parametrize(("name", "days", "said"), [(HOST, -1, "has expired"), ("other.example", 365, "is for another")])
def test_a_certificate_of_a_trusted_authority_can_be_wrong_too(persist, listener, monkeypatch, name, days, said):
    """Expired, or for another name."""
    port, cert = listener(name, days)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(cert))
    found = persist("doctor", "s3://b", "-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b", "--json")

    assert found.code == 5, found.out
    assert said in by_name(found)["TLS"]["found"]


def test_a_trusted_certificate_and_a_clock_that_is_wrong(persist, listener, monkeypatch):
    """The handshake is fine; the time of the server is years away, and signed requests will be refused."""
    port, cert = listener()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(cert))
    found = persist("doctor", "s3://b", "-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b", "--json")

    checks = by_name(found)
    assert checks["TLS"]["status"] == "ok", checks["TLS"]
    assert HOST in checks["TLS"]["found"]
    assert checks["clock"]["status"] == "problem"
    assert "NTP" in checks["clock"]["way_out"]
    assert found.code == 5


@pytest.mark.server("ftp")
def test_a_server_that_speaks_no_tls(persist, ftp_server):
    """Named as such."""
    port = ftp_server.storage_options["port"]
    found = persist("doctor", "s3://b", "-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b", "--json")

    assert by_name(found)["TLS"]["status"] == "problem"
    assert "http://" in by_name(found)["TLS"]["way_out"]


@pytest.mark.parametrize("name", ["client_kwargs.verify", "ca"])
def test_an_option_that_names_the_authority_is_used(persist, listener, name):
    """What the driver would accept is accepted, and what it would refuse is not."""
    port, cert = listener()
    server = ["-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b"]
    trusted = ["-o", f"client_kwargs.verify={cert}"] if name != "ca" else []
    found = persist("doctor", "s3://b", *server, *trusted, "--json")

    assert by_name(found)["TLS"]["status"] == ("ok" if trusted else "problem")


def test_an_authority_that_is_not_there(persist, listener):
    """Named."""
    port, _ = listener()
    server = ["-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b"]
    found = persist("doctor", "s3://b", *server, "-o", "client_kwargs.verify=/nowhere/ca.pem", "--json")

    assert by_name(found)["TLS"]["status"] == "problem"
    assert "/nowhere/ca.pem" in by_name(found)["TLS"]["found"]


@pytest.mark.parametrize(
    ("url", "option"),
    [("s3://b", "client_kwargs.verify=false"), ("https://{address}/x", "ssl=false")],
)
def test_a_check_of_certificates_that_is_switched_off(persist, listener, url, option):
    """Is worth a look, and no problem: the driver goes on."""
    port, _ = listener()
    server = ["-o", f"endpoint_url=https://{HOST}:{port}", "-o", "key=a", "-o", "secret=b"] if url.startswith("s3") else []
    found = persist("doctor", url.format(address=f"{HOST}:{port}"), *server, "-o", option, "--json")

    tls = by_name(found)["TLS"]
    assert tls["status"] == "warning", tls
    assert "not checked, by the options" in tls["found"]


# --- secrets ---


def test_a_program_that_gives_no_secret_is_not_a_server_that_is_silent(persist, monkeypatch):
    """It has a check of its own, which ends, names the program, and comes before the network."""
    monkeypatch.setattr("persistence_fsspec.secret.COMMAND_TIMEOUT_SECONDS", 0.05)
    found = persist("doctor", f"ftp://{HOST}:{free_port()}", "-o", "password@command=sleep 100", "--json")

    checks = by_name(found)
    assert found.code == 2
    assert list(checks) == ["driver", "secrets"]
    assert checks["secrets"]["status"] == "problem"
    assert "sleep did not give a secret" in checks["secrets"]["found"]
    assert "password" in checks["secrets"]["way_out"]


def test_secrets_that_are_found_are_told_by_their_place(persist, monkeypatch):
    """And not shown; without references there is no such check."""
    monkeypatch.setenv("DOCTORS_PASSWORD", "hunter2hunter2")
    url = f"ftp://{HOST}:{free_port()}"
    found, without = persist("doctor", url, "-o", "password@env=DOCTORS_PASSWORD", "--json"), persist("doctor", url, "--json")

    assert by_name(found)["secrets"]["status"] == "ok"
    assert "DOCTORS_PASSWORD" in by_name(found)["secrets"]["found"]
    assert "hunter2hunter2" not in found.out
    assert "secrets" not in by_name(without)


# --- it never hangs ---


def test_a_check_that_never_ends_is_given_up():
    """Its thread is left to itself."""
    never = threading.Event()
    with pytest.raises(OperationTimeoutError):
        within(0.05, never.wait)
    never.set()


def test_a_server_that_says_nothing():
    """It accepts, and then is silent: an answer comes all the same."""
    with socket.create_server((HOST, 0)) as silent:
        persistence = FSSpecPersistence(f"ftp://{HOST}:{silent.getsockname()[1]}")
        persistence._policy = type(persistence._policy)(timeout_seconds=1, stall_seconds=1)
        found = diagnose(persistence)

    assert [check.name for check in found.problems][:1] == ["list"]
    assert isinstance(found.error, OperationTimeoutError)
    assert all(check.way_out for check in found.problems)
