"""No key, password or token appears in logs, records, pages or error files."""

import json
import os
import subprocess
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET, KEYS
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import FAKE_COMMAND, QUICK_SETTINGS, make_png

PLANTED = "planted-0123456789"


@pytest.mark.parametrize("secret", [KEYS["secretKey"], PLANTED])
def test_no_secret_is_written_anywhere(seaweed: str, secret: str) -> None:
    store = S3Store(f"s3://{BUCKET}/{uuid4().hex}", connect("s3", seaweed))
    store.write("in/a.png", make_png(32, 32))
    good = {"id": "good", "content": "a.png", "style": "a.png", "max_size": 32, "epochs": 1}
    bad = {**good, "id": "bad", "content": "gone.png"}
    denied = {**good, "id": "denied", "content": "s3://elsewhere/a.png"}
    store.write("in/m.json", json.dumps({"pairs": [good, bad, denied]}).encode())
    store.write("in/broken.json", b"{")
    command = [*FAKE_COMMAND, "watch", "--once", "--inbox", f"{store.url}/in", "--outbox", f"{store.url}/out"]
    command += ["--endpoint-url", seaweed.replace("http://", f"http://user:{PLANTED}@")]
    command += ["--allow", "s3://elsewhere"]
    secrets = {"AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": PLANTED if secret == PLANTED else ""}
    done = subprocess.run(
        command, env={**os.environ, **QUICK_SETTINGS, **secrets}, capture_output=True, text=True
    )
    texts = [done.stdout, done.stderr]
    texts += [store.read(key, 10**7).decode("latin-1") for key in store.glob("**/*")]
    assert len(texts) > (8 if secret != PLANTED else 4)
    assert not [text for text in texts if secret in text or PLANTED in text]
