"""Signed packs: keys from openssl, checked offline; whatever was changed is refused in one line."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.exchange.pack import MANIFEST, make_manifest
from bench.exchange.signing import MAKE, PUBLISH, private_key, public_key
from bench.exchange.statement import PREDICATE_TYPE, SIGNATURE, STATEMENT_TYPE

from .pool_worlds import packed, records
from .program import Ended, assert_one_line, bench, called

pytest.importorskip("securesystemslib")
OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl makes the keys of these tests")

Files = dict[str, bytes]


def openssl(*words: str, cwd: Path) -> bytes:
    return subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two keys, made as the docs say, and a results folder of one machine."""
    folder = tmp_path_factory.mktemp("signing")
    for name in ("key", "other"):
        for line in (MAKE, PUBLISH):
            program, *words = line.replace("key.", f"{name}.").split()
            assert program == "openssl"
            openssl(*words, cwd=folder)
    packed(folder / "packs", "one-cpu", records("one-cpu"))
    shutil.copytree(folder / "packs_sources" / "one-cpu", folder / "results")
    ended = bench("pack", "signed.zip", "--sign", "key.pem", cwd=folder)
    assert ended.code == 0 and fingerprint(folder) in ended.out, ended
    return folder


def fingerprint(home: Path, name: str = "key") -> str:
    """The fingerprint as anybody can compute it."""
    return hashlib.sha256(
        openssl("pkey", "-pubin", "-in", f"{name}.pub", "-outform", "DER", cwd=home)
    ).hexdigest()


def files(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, contents: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def listed(contents: Files) -> Files:
    """The same files with a manifest that fits them, as a forger would have it."""
    own = {name: one for name, one in contents.items() if name not in (MANIFEST, SIGNATURE)}
    return {**contents, MANIFEST: make_manifest(own)}


def test_a_signed_pack_is_checked_by_the_command_in_its_own_process(home: Path) -> None:
    checked = bench("verify", "signed.zip", "--key", "key.pub", cwd=home)
    assert checked.code == 0 and checked.err == "", checked
    assert (
        "accepted" in checked.out
        and f"signature checked: by key {fingerprint(home)}" in " ".join(checked.out.split())
    )
    unchecked = called("verify", "signed.zip", cwd=home)
    assert unchecked.code == 0
    said = " ".join(unchecked.out.split())
    assert f"says that it is signed by key {fingerprint(home)}" in said
    assert "not checked" in said and "signature checked" not in said


def test_the_envelope_is_dsse_around_an_in_toto_statement(home: Path) -> None:
    contents = files(home / "signed.zip")
    envelope = json.loads(contents.pop(SIGNATURE))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert (statement["_type"], statement["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    said = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert said == {name: hashlib.sha256(one).hexdigest() for name, one in contents.items()}
    # By openssl alone, over DSSE's own encoding of type and payload.
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    (home / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (home / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    words = "pkeyutl -verify -pubin -inkey key.pub -rawin -in pae -sigfile sig"
    assert b"Success" in openssl(*words.split(), cwd=home)


def test_the_same_records_and_key_give_the_same_bytes(home: Path) -> None:
    assert called("pack", "again.zip", "--sign", "key.pem", cwd=home).code == 0
    assert (home / "again.zip").read_bytes() == (home / "signed.zip").read_bytes()


def test_unpack_and_pool_read_a_signed_pack_and_keep_the_signature_out(home: Path) -> None:
    ended = called("unpack", "signed.zip", "--results", "unpacked", cwd=home)
    assert ended.code == 0, ended
    assert not list((home / "unpacked").glob("signature*"))
    (home / "pool").mkdir()
    shutil.copy(home / "signed.zip", home / "pool")
    shown = called("pool", "pool", cwd=home)
    assert (
        shown.code == 0
        and fingerprint(home)[:12] in shown.out
        and "not checked" in called("pool", "pool", "--notes", cwd=home).out
    )


# Tampering: every way, with and without the manifest made to fit


def first(contents: Files) -> str:
    return sorted(name for name in contents if name.endswith(".jsonl"))[0]


def file_changed(contents: Files) -> Files:
    name = first(contents)
    return {**contents, name: contents[name].replace(b'"seed":0', b'"seed":1', 1)}


def file_added(contents: Files) -> Files:
    return {**contents, "one-cpu/visit/steps.ndjson": b"{}\n"}


def file_removed(contents: Files) -> Files:
    gone = first(contents)
    return {name: content for name, content in contents.items() if name != gone}


def envelope_with(**changes: object) -> Callable[[Files], Files]:
    def change(contents: Files) -> Files:
        envelope = {**json.loads(contents[SIGNATURE]), **changes}
        return {**contents, SIGNATURE: json.dumps(envelope).encode()}

    return change


def statement_altered(contents: Files) -> Files:
    """A changed file, a manifest that fits it, and a statement that fits both."""
    forged = listed(file_changed(contents))
    envelope = json.loads(contents[SIGNATURE])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    for subject in statement["subject"]:
        subject["digest"]["sha256"] = hashlib.sha256(forged[subject["name"]]).hexdigest()
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return envelope_with(payload=payload)(forged)


def signed_twice(contents: Files) -> Files:
    signatures = json.loads(contents[SIGNATURE])["signatures"]
    return envelope_with(signatures=signatures * 2)(contents)


def signature_removed(contents: Files) -> Files:
    return {name: one for name, one in contents.items() if name != SIGNATURE}


def bit_flipped(contents: Files) -> Files:
    [signed] = json.loads(contents[SIGNATURE])["signatures"]
    raw = bytearray(base64.b64decode(signed["sig"]))
    raw[5] ^= 1
    return envelope_with(signatures=[{**signed, "sig": base64.b64encode(raw).decode()}])(contents)


def key_renamed(contents: Files) -> Files:
    [signed] = json.loads(contents[SIGNATURE])["signatures"]
    return envelope_with(signatures=[{**signed, "keyid": "0" * 64}])(contents)


def envelope_cut(contents: Files) -> Files:
    return {**contents, SIGNATURE: contents[SIGNATURE][:-40]}


def no_base64(contents: Files) -> Files:
    return envelope_with(payload="%%%")(contents)


TAMPERED: dict[str, tuple[Callable[[Files], Files], str, bool]] = {
    "a file changed": (lambda one: listed(file_changed(one)), "not the file that was signed", True),
    "a file added": (lambda one: listed(file_added(one)), "in the pack, and not signed", True),
    "a file removed": (lambda one: listed(file_removed(one)), "signed, and not in the pack", True),
    "the statement altered": (statement_altered, "not of this statement", False),
    "a bit of the signature": (bit_flipped, "not of this statement", False),
    "the key renamed": (key_renamed, "signed by key 000", False),
    "another type": (envelope_with(payloadType="text/plain"), "'text/plain', not", True),
    "signed twice": (signed_twice, "it has 2 signatures", True),
    "no signature": (envelope_with(signatures=[]), "it has 0 signatures", True),
    "envelope cut": (envelope_cut, "not the envelope of one signature", True),
    "no base64": (no_base64, "not the envelope of one signature", True),
    "signature removed": (signature_removed, "not signed, and --key asks", False),
}
"""Each with a phrase of its line, and whether it is found without the key, too."""


@pytest.mark.parametrize("how", TAMPERED)
def test_a_tampered_pack_is_refused(how: str, home: Path, tmp_path: Path) -> None:
    change, phrase, without_key = TAMPERED[how]
    path = write(tmp_path / "t.zip", change(files(home / "signed.zip")))
    refused = called("verify", path, "--key", "key.pub", cwd=home)
    assert_refused(refused, phrase)
    unchecked = called("verify", path, cwd=home)
    if without_key:
        assert_refused(unchecked, phrase)


def assert_refused(ended: Ended, phrase: str) -> None:
    assert ended.code == 1 and "accepted" not in ended.out, ended
    lines = ended.err.splitlines()
    assert [phrase in line for line in lines].count(True) >= 1, ended.err
    assert lines[-1].endswith(f"refused for {len(lines) - 1} reason" + "s" * (len(lines) > 2))
    assert "Traceback" not in ended.text


def test_one_change_is_one_line_whether_or_not_the_manifest_fits(
    home: Path, tmp_path: Path
) -> None:
    """In a process of its own: the issue's own question."""
    contents = files(home / "signed.zip")
    path = write(tmp_path / "t.zip", file_added(contents))
    ended = bench("verify", path, "--key", home / "key.pub", cwd=tmp_path)
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 2, ended
    assert "one-cpu/visit/steps.ndjson: in the pack and not in the manifest" in ended.err


def test_another_key_is_named_with_its_own(home: Path) -> None:
    ended = called("verify", "signed.zip", "--key", "other.pub", cwd=home)
    assert_refused(
        ended,
        f"signed by key {fingerprint(home)}, and other.pub is key {fingerprint(home, 'other')}",
    )


# Keys


KEYS = {
    "ecdsa": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa": ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_other_kinds_of_keys_sign_as_well(kind: str, home: Path) -> None:
    openssl(*KEYS[kind], "-out", f"{kind}.pem", cwd=home)
    openssl("pkey", "-in", f"{kind}.pem", "-pubout", "-out", f"{kind}.pub", cwd=home)
    assert called("pack", f"{kind}.zip", "--sign", f"{kind}.pem", cwd=home).code == 0
    ended = called("verify", f"{kind}.zip", "--key", f"{kind}.pub", cwd=home)
    assert ended.code == 0 and fingerprint(home, kind) in ended.out


def test_a_file_that_is_no_key_is_one_line(home: Path) -> None:
    (home / "no.pem").write_text("nothing\n")
    (home / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (home / "bad.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    (home / "ssh").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    openssl(
        "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:x", "-out", "locked.pem", cwd=home
    )
    openssl("genpkey", "-algorithm", "X25519", "-out", "x.pem", cwd=home)
    (home / "large.pub").write_bytes(bytes(70_000))
    openssl(
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
        "-out",
        "small.pem",
        cwd=home,
    )
    sign = {
        "no.pem": "no PEM block",
        "bad.pem": "is no private key",
        "ssh": "OpenSSH's own form",
        "locked.pem": "encrypted with a passphrase; `openssl pkey",
        "key.pub": "it is a public key",
        "x.pem": "its kind is X25519",
        "small.pem": "RSA of 1024 bits",
        "missing.pem": "No such file",
        "results": "is a folder",
    }
    for name, words in sign.items():
        ended = called("pack", "never.zip", "--sign", name, cwd=home)
        assert_one_line(ended, f"--sign: {name} is no private key", words)
    check = {
        "no.pem": "no PEM block",
        "bad.pub": "is no public key",
        "key.pem": "it is a private key",
        "missing.pub": "No such file",
        "large.pub": "it has 70 kB, more than the 66 kB allowed",
    }
    for name, words in check.items():
        ended = called("verify", "signed.zip", "--key", name, cwd=home)
        assert_one_line(ended, f"--key: {name} is no public key", words)
    assert not (home / "never.zip").exists()


def test_pool_and_unpack_ask_for_a_signature_as_verify_does(home: Path, tmp_path: Path) -> None:
    """Each in a process of its own, over a signed pack, an unsigned one and a tampered one."""
    key = home / "key.pub"
    (tmp_path / "packs").mkdir()
    shutil.copy(home / "signed.zip", tmp_path / "packs")
    packed(tmp_path / "packs", "unsigned", records("unsigned"))
    write(tmp_path / "packs" / "tampered.zip", statement_altered(files(home / "signed.zip")))
    shown = bench("pool", "packs", "--key", key, "--notes", "--export-eee", "eee", cwd=tmp_path)
    assert shown.code == 2 and "1 machine in 1 pack" in shown.out, shown
    first, second = shown.err.splitlines()
    assert "packs/tampered.zip: left out: " in first and "not of this statement" in first
    assert "packs/unsigned.zip: left out: not signed, and --key asks for" in second
    assert fingerprint(home)[:12] in shown.out and "not checked" not in shown.out
    exported = next((tmp_path / "eee").rglob("*.json")).read_text()
    assert f'"signed_by": "{fingerprint(home)}"' in exported
    fine = bench("unpack", "packs/signed.zip", "--key", key, "--results", "fine", cwd=tmp_path)
    assert fine.code == 0 and f"signature checked: by key {fingerprint(home)}" in fine.out, fine
    for name, words in (("unsigned", "not signed"), ("tampered", "not of this statement")):
        flags = ("--key", key, "--results", "never")
        ended = bench("unpack", f"packs/{name}.zip", *flags, cwd=tmp_path)
        assert_one_line(ended, f"unpack: packs/{name}.zip", words)
    for command in (("pool", "packs"), ("unpack", "packs/signed.zip", "--results", "never")):
        ended = called(*command, "--key", home / "other.pub", cwd=tmp_path)
        assert ended.code == 2 and "other.pub is key" in ended.err + ended.out, ended
        missing = called(*command, "--key", "missing.pub", cwd=tmp_path)
        assert_one_line(missing, "--key: missing.pub is no public key")
    assert not (tmp_path / "never").exists()


def test_with_several_keys_a_pack_may_be_signed_by_any_of_them(home: Path, tmp_path: Path) -> None:
    assert called("pack", tmp_path / "other.zip", "--sign", "other.pem", cwd=home).code == 0
    shutil.copy(home / "signed.zip", tmp_path)
    both = ("--key", home / "key.pub", "--key", home / "other.pub")
    shown = called("pool", ".", *both, "--notes", cwd=tmp_path)
    assert shown.code == 0 and "in 2 packs" in shown.out, shown
    assert all(fingerprint(home, name)[:12] in shown.out for name in ("key", "other"))
    for command in (("verify", "signed.zip"), ("unpack", "signed.zip", "--results", "fine")):
        checked = called(*command, *both, cwd=tmp_path)
        assert f"signature checked: by key {fingerprint(home)}" in " ".join(checked.out.split())
    openssl("genpkey", "-algorithm", "ed25519", "-out", "third.pem", cwd=tmp_path)
    openssl("pkey", "-in", "third.pem", "-pubout", "-out", "third.pub", cwd=tmp_path)
    neither = ("--key", "third.pub", "--key", home / "other.pub")
    refused = called("verify", "signed.zip", *neither, cwd=tmp_path)
    assert refused.code == 1
    assert f"by key {fingerprint(home)}, and third.pub is key" in refused.err, refused.err
    assert f"other.pub is key {fingerprint(home, 'other')}" in refused.err


def test_two_keys_in_a_file_or_to_sign_with_are_one_too_many(home: Path) -> None:
    two = (home / "key.pub").read_bytes() + (home / "other.pub").read_bytes()
    (home / "two.pub").write_bytes(two)
    ended = called("verify", "signed.zip", "--key", "two.pub", cwd=home)
    assert_one_line(ended, "--key: two.pub", "it has 2 keys; give a file with one")
    both = ("--sign", "key.pem", "--sign", "other.pem")
    assert_one_line(called("pack", "never.zip", *both, cwd=home), "--sign: given 2 times")


@pytest.mark.parametrize("missing", ["securesystemslib", "cryptography"])
def test_without_the_library_signing_is_one_line_and_the_rest_works(
    missing: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    line = "needs securesystemslib and cryptography: pip install 'convmixer-bench[sign]'"
    assert_one_line(called("pack", "never.zip", "--sign", "key.pem", cwd=home), "--sign", line)
    assert_one_line(called("verify", "signed.zip", "--key", "key.pub", cwd=home), "--key", line)
    unchecked = called("verify", "signed.zip", cwd=home)
    assert unchecked.code == 0 and fingerprint(home) in unchecked.out


def test_no_network_is_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert called("pack", "offline.zip", "--sign", "key.pem", cwd=home).code == 0
    assert called("verify", "offline.zip", "--key", "key.pub", cwd=home).code == 0


def test_keys_have_the_fingerprint_that_openssl_gives(home: Path) -> None:
    assert private_key(home / "key.pem").fingerprint == fingerprint(home)
    assert public_key(home / "key.pub").fingerprint == fingerprint(home)
