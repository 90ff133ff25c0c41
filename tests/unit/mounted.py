"""A Secret as the kubelet mounts it: files are links through ``..data``, which is another folder from one moment on."""

from __future__ import annotations

from pathlib import Path


class Mounted:
    """Such a folder; ``put`` is what happens when the Secret changes."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.put(**files)

    def put(self, **files: str) -> None:
        """All files of the new version take the place of the old ones' at once."""
        self._version += 1
        fresh = self.folder / f"..version-{self._version}"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name).write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)
