"""What a file is instead of idx: real files of each kind that Python can write, the published marks for the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

from emulator.training.kinds import HEAD_BYTES, MARKS, kind_of


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    return file.getvalue()


def archive(name: str | None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        if name is not None:
            written.writestr(name, b"data")
    return file.getvalue()


def numpy_file(several: bool) -> bytes:
    file = io.BytesIO()
    if several:
        np.savez(file, x_train=np.zeros(3))
    else:
        np.save(file, np.zeros(3))
    return file.getvalue()


FILES = [
    (tar(), "a tar archive"),
    (gzip.compress(b"data"), "gzip within gzip"),
    (archive("train-images-idx3-ubyte"), "a zip archive"),
    (archive(None), "an empty zip archive"),
    (numpy_file(several=True), "an npz file"),
    (numpy_file(several=False), "an npy file"),
    (bz2.compress(b"data"), "a bzip2 file"),
    (lzma.compress(b"data"), "an xz file"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
    ("label,pixel0".encode("utf-16"), "UTF-16 text"),
    (b"\x03\x08\0\0\x60\xea\0\0", "an idx file with its header in little-endian order"),
    (b"<!DOCTYPE html><title>403</title>", "an HTML page"),
    (b"\xef\xbb\xbf\r\n<!doctype HTML>", "an HTML page"),
    (b"<!-- a comment -->\n<html lang='en'>", "an HTML page"),
    (b'<?xml version="1.0"?><html>', "an HTML page"),
    (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', "an XML page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:ba89\nsize 47040016\n", "a Git LFS pointer"),
    (b"label,pixel0,pixel1,pixel2,pixel3\n5,0,0,0,0\n", "text that begins 'label,pixel0,pixel1,pixe'"),
    (b"no\nsuch key", "text that begins 'no such key'"),
    ("é".encode() * HEAD_BYTES, f"text that begins '{'é' * 24}'"),
]


@pytest.mark.parametrize(("content", "what"), FILES, ids=[what for _, what in FILES])
def test_kind(content: bytes, what: str) -> None:
    kind = kind_of(content[:HEAD_BYTES])
    assert kind is not None
    assert kind.what == what
    assert kind.advice
    assert kind.what.isprintable()


def test_a_character_that_is_cut_is_text() -> None:
    assert kind_of(("a" * (HEAD_BYTES - 1) + "é").encode()[:HEAD_BYTES]) is not None


@pytest.mark.parametrize("content", [b"", b" \n", bytes(600), b"\0\0\x08\x03\0\0\0\x05", b"\x91\x92\x93", b"bell\x07"])
def test_unknown(content: bytes) -> None:
    assert kind_of(content[:HEAD_BYTES]) is None


def test_the_head_is_long_enough_for_every_mark() -> None:
    assert all(offset + len(mark) <= HEAD_BYTES for offset, mark, _ in MARKS)
