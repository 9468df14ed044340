"""What an uploaded picture must be before it is decoded."""

from hashgen.pictures.decode import BadPicture, read_header

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000
# A progressive JPEG repeats its picture in scans, a dozen at most; one of a few kilobytes can hold thousands, each
# of which costs as much time as a whole picture.
MAX_SCANS = 100
_SCAN = b"\xff\xda"


class BadUpload(ValueError):
    """A picture that is refused. status: of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


_MESSAGES = {
    "empty": ("the body is empty; send the bytes of a picture", 422),
    "not_an_image": ("not a picture that can be read; send a JPEG, PNG, WebP, GIF or TIFF file", 415),
    "too_large": (f"more than {MAX_PIXELS // 10**6} megapixels; send a smaller picture", 413),
}


def check_upload(data: bytes) -> None:
    """Raise BadUpload unless the bytes start as a picture, of a size that is decoded in seconds.

    What they are is read from themselves, whatever their sender calls them.
    """
    try:
        header = read_header(data, MAX_PIXELS)
    except BadPicture as error:
        default = ("damaged: it cannot be read to its end; send the whole file", 422)
        message, status = _MESSAGES.get(str(error), default)
        raise BadUpload(f"picture: {message}", status) from error
    if header.format in ("JPEG", "MPO") and data.count(_SCAN) > MAX_SCANS:
        raise BadUpload("picture: a JPEG of too many scans; save it again as a plain JPEG", 422)
