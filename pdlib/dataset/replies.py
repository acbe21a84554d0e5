"""What an OpenAI-compatible endpoint replies: the text of a chat completion, or nonsense."""

import httpx2

Messages = list[dict]  # of a request: role and content each


def spoken(text: str) -> str:
    """What a reasoning model says after its thinking; empty when it was cut off while it thought.

    >>> spoken("<think>bond... finance?</think>A loan.")
    'A loan.'
    """
    # some templates put <think> into the prompt: only its end is in the reply
    after_thinking = text.rpartition("</think>")[2]
    return after_thinking.partition("<think>")[0].strip()


def parse(body) -> dict:
    """{text, finish} of a chat completion's JSON.

    Half of a surrogate pair, which no file could hold, becomes a question mark. ValueError when it
    is no chat completion, or says nothing though it was not cut off.
    """
    try:
        choice = body["choices"][0]
        text, finish = choice["message"].get("content") or "", choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as broken:
        raise ValueError(f"no choices in the reply: {str(body)[:200]}") from broken
    if not isinstance(text, str) or not text and finish not in ("length", "content_filter"):
        raise ValueError(f"no text in the reply: {str(body)[:200]}")
    return {"text": text.encode("utf-8", "replace").decode("utf-8"), "finish": finish}


async def refuse_nonsense(response: httpx2.Response) -> None:
    """A hook of the client: a 200 that holds no answer counts as a cut connection.

    The client asks again after a cut connection.
    """
    if response.status_code != 200 or not response.request.url.path.endswith("/chat/completions"):
        return
    await response.aread()
    try:
        parse(response.json())
    except ValueError as broken:
        raise httpx2.RemoteProtocolError(
            f"a reply that is no answer ({broken}): {response.text[:200]}"
        ) from broken
