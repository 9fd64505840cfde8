"""The options that several commands share. The help of each names its variable `NST_*`, if it has one."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.settings import home_expanded


def _path(text: str) -> Path:
    try:
        return Path(home_expanded(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Manifests = Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifest files.", parser=_path)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of manifests, without .json.")]
Inbox = Annotated[
    str | None,
    typer.Option("--inbox", help="Folder or s3://BUCKET/PREFIX that manifests come into. [NST_INBOX]"),
]
Outbox = Annotated[
    str | None,
    typer.Option("--outbox", help="Folder or s3://BUCKET/PREFIX that results go to. [NST_OUTBOX]"),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Folder of the outbox that results go to, instead of MANIFEST's name."),
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Write to that folder although a manifest from elsewhere has done so."),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard", help="Only every N-th pair, from the I-th: I/N; or auto, in a task of an array job."
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="One more folder or s3:// URL that images may come from. [NST_ALLOW]"),
]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="URL of an S3 server that is not AWS. [NST_ENDPOINT_URL]")
]
Weights = Annotated[str | None, typer.Option("--weights", help="embedded, imagenet or a path. [NST_WEIGHTS]")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N. [NST_DEVICE]")]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="Precision of features: auto, fp32 or bf16. [NST_DTYPE]")
]
Memory = Annotated[
    float | None,
    typer.Option("--memory", help="GB that it may take; most of what is free by default. [NST_MEMORY]"),
]
Engine = Annotated[
    str | None, typer.Option("--engine", help="local, or ray: on every GPU of a Ray cluster. [NST_ENGINE]")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", help="HOST:PORT of a Ray cluster; without it one is started here. [NST_RAY_ADDRESS]"
    ),
]
Once = Annotated[
    bool, typer.Option("--once", help="Stop when nothing is left; with --schedule, after its next time.")
]
Idle = Annotated[
    float | None, typer.Option("--idle", help="Stop after so many seconds without work; 0: without waiting.")
]
Schedule = Annotated[
    str | None, typer.Option("--schedule", help="Scan the inbox only at these times, as in '0 2 * * *'.")
]
Queue = Annotated[
    str | None,
    typer.Option("--queue", help="URL of the SQS queue with the bucket's notifications. [NST_QUEUE]"),
]
Poll = Annotated[bool, typer.Option("--poll", help="No file events: NFS, SMB, Docker volumes. [NST_POLL]")]
Alone = Annotated[
    bool, typer.Option("--alone", help="No other runner is at this inbox and outbox. [NST_ALONE]")
]
MetricsFile = Annotated[
    str | None,
    typer.Option("--metrics-file", help="Write metrics to this file, for node_exporter. [NST_METRICS_FILE]"),
]
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port", help="Serve metrics at this PORT of 127.0.0.1, or HOST:PORT. [NST_METRICS_PORT]"
    ),
]
Host = Annotated[
    str | None,
    typer.Option("--host", help="Address to listen at; other than 127.0.0.1 needs a token. [NST_HOST]"),
]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen at; 5002 by default. [NST_PORT]")]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", help="File with the token that clients have to send. [NST_TOKEN_FILE]"),
]
TrustNetwork = Annotated[
    bool,
    typer.Option("--trust-network", help="Let everybody in who reaches the address. [NST_TRUST_NETWORK]"),
]
MaxUpload = Annotated[
    int | None, typer.Option("--max-upload", help="MiB that a request may have; 64. [NST_MAX_UPLOAD]")
]
NoWork = Annotated[
    bool, typer.Option("--no-work", help="Only take requests; runners elsewhere work. [NST_NO_WORK]")
]
