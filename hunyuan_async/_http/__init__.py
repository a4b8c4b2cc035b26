"""The network: the only package that imports aiohttp's client."""
