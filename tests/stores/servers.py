"""Real stores on loopback, each with one container, seen by its own client rather than by what is tested."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage

from tests.stores.front import Request
from tests.support.ports import free_ports
from tests.support.s3 import S3Server, s3_server
from tests.system.servers import Server, installed_by_npm

CONTAINER = "metrics"
AZURE_ACCOUNT = "devstoreaccount1"
# Azurite's account and key are the same everywhere, and documented.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Store(ABC):
    """One kind of store: how to reach it, and what is in it."""

    scheme: str
    port: int

    @abstractmethod
    def connection(self, port: int) -> dict[str, Any]:
        """Return Airflow's connection to it; ``port`` may be a front's."""

    def connection_to_write(self, port: int) -> dict[str, Any]:
        """Return one that allows to write an object and nothing else, where the server knows such."""
        return self.connection(port)

    @abstractmethod
    def is_write(self, request: Request) -> bool:
        """Tell whether a request is the one that puts an object there."""

    @abstractmethod
    def objects(self) -> dict[str, bytes]:
        """Return the content of all objects by name."""

    @abstractmethod
    def content_type(self, name: str) -> str:
        """Return what an object is said to be."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove an object."""


class S3(Store):
    """moto's server. It knows no policies, so it is left to a front to refuse."""

    scheme = "s3"

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self.port = urlsplit(server.endpoint_url).port or 0

    def connection(self, port: int) -> dict[str, Any]:
        quick = {"retries": {"max_attempts": 1}}
        extra = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1", "config_kwargs": quick}
        return {"conn_type": "aws", "login": "AKIATESTTESTTESTTEST", "password": "made-up", "extra": extra}

    def is_write(self, request: Request) -> bool:
        is_copy = "x-amz-copy-source" in request.headers
        return request.method == "PUT" and not request.query and not is_copy

    def objects(self) -> dict[str, bytes]:
        keys = self._server.keys()
        return {key: self._server.read(key) for key in keys}

    def content_type(self, name: str) -> str:
        return str(self._server.client.head_object(Bucket=CONTAINER, Key=name)["ContentType"])

    def remove(self, name: str) -> None:
        self._server.client.delete_object(Bucket=CONTAINER, Key=name)


class Azure(Store):
    """Azurite, which knows shared access signatures."""

    scheme = "abfs"

    def __init__(self, port: int) -> None:
        self.port = port
        account = BlobServiceClient(f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}", AZURE_KEY)
        self._container = account.create_container(CONTAINER)

    def connection(self, port: int) -> dict[str, Any]:
        return self._connection(port, f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY}")

    def connection_to_write(self, port: int) -> dict[str, Any]:
        signature = generate_account_sas(
            AZURE_ACCOUNT,
            AZURE_KEY,
            ResourceTypes(object=True),
            AccountSasPermissions(create=True, write=True),
            datetime.now(timezone.utc) + timedelta(hours=1),
        )
        return self._connection(port, f"SharedAccessSignature={signature}")

    def _connection(self, port: int, rights: str) -> dict[str, Any]:
        text = f"BlobEndpoint=http://127.0.0.1:{port}/{AZURE_ACCOUNT};{rights}"
        return {"conn_type": "wasb", "extra": {"connection_string": text}}

    def is_write(self, request: Request) -> bool:
        is_copy = "x-ms-copy-source" in request.headers
        return request.method == "PUT" and "comp" not in request.query and not is_copy

    def objects(self) -> dict[str, bytes]:
        blobs = self._container.list_blobs()
        return {blob.name: self._container.download_blob(blob.name).readall() for blob in blobs}

    def content_type(self, name: str) -> str:
        return str(self._container.get_blob_client(name).get_blob_properties().content_settings.content_type)

    def remove(self, name: str) -> None:
        self._container.delete_blob(name)


class Google(Store):
    """An emulator of Google Cloud Storage. It knows no rights, so it is left to a front to refuse."""

    scheme = "gs"

    def __init__(self, port: int) -> None:
        self.port = port
        endpoint = {"api_endpoint": f"http://127.0.0.1:{port}"}
        client = google_storage.Client("project", AnonymousCredentials(), client_options=endpoint)
        self._bucket = client.bucket(CONTAINER)

    def connection(self, port: int) -> dict[str, Any]:
        extra = {"is_anonymous": True, "project": "project", "gcs.endpoint": f"http://127.0.0.1:{port}"}
        return {"conn_type": "google_cloud_platform", "extra": extra}

    def is_write(self, request: Request) -> bool:
        return request.method == "POST" and request.path == f"/upload/storage/v1/b/{CONTAINER}/o"

    def objects(self) -> dict[str, bytes]:
        return {blob.name: self._read(blob.name) for blob in self._bucket.list_blobs()}

    def _read(self, name: str) -> bytes:
        # Not by the client, which relies on a link that the emulator gives without quoting the name.
        url = f"http://127.0.0.1:{self.port}/storage/v1/b/{CONTAINER}/o/{quote(name, safe='')}?alt=media"
        with urlopen(url) as answer:
            return bytes(answer.read())

    def content_type(self, name: str) -> str:
        return str(self._bucket.get_blob(name).content_type)

    def remove(self, name: str) -> None:
        self._bucket.delete_blob(name)


@contextmanager
def s3(folder: Path) -> Iterator[Store]:
    with s3_server(folder / "output.txt", bucket=CONTAINER) as server:
        yield S3(server)


@contextmanager
def azure(folder: Path) -> Iterator[Store]:
    (port,) = free_ports(1)
    program = installed_by_npm(Path(__file__).with_name("azurite"), "azurite-blob")
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", port, *options]
    with running(Server("Azure Blob Storage API", command, port, folder / "output.txt")):
        yield Azure(port)


@contextmanager
def google(folder: Path) -> Iterator[Store]:
    (port,) = free_ports(1)
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    options = ["--in-memory", "--default-bucket", CONTAINER]
    command = [program, "start", "--host", "127.0.0.1", "--port", port, *options]
    with running(Server("Google Cloud Storage API", command, port, folder / "output.txt")):
        yield Google(port)


STORES: dict[str, Callable[[Path], Any]] = {"s3": s3, "azure": azure, "google": google}


@contextmanager
def running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()
