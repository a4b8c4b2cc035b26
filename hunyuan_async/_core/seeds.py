"""What derives from a run's seed and an item's id, so that it stays the same when the input is reordered or edited."""

from __future__ import annotations

import hmac


def derived_seed(run_seed: int, item_id: str) -> int:
    """Return the seed of an item that none was given for.

    It is HMAC-SHA256 with the run's seed as the key, in 8 bytes, big-endian, and "seed:" and the id in UTF-8 as the
    message; of its first 4 bytes, big-endian, the lower 31 bits count.

    Args:
        run_seed: The run's own number, of at most 64 bits.
        item_id: The item's id, which tells its variations apart.
    """
    return int.from_bytes(_digest(run_seed, f"seed:{item_id}")[:4], "big") & 0x7FFF_FFFF


def drawing_order(run_seed: int, item_id: str) -> bytes:
    """Return what a sample sorts by: the same for the same item, and in no order for others.

    It is made as `derived_seed`, with "sample:" before the id, and whole.
    """
    return _digest(run_seed, f"sample:{item_id}")


def _digest(run_seed: int, message: str) -> bytes:
    return hmac.digest(run_seed.to_bytes(8, "big"), message.encode(errors="surrogatepass"), "sha256")
