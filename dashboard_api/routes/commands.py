"""Commands: a person's or program's wish, handed to alerts and answered after its commit."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from contracts import topics, wire
from contracts.command import Command, CommandAnswer, CommandKind, MuteMatcher
from contracts.errors import CommandRefused, GridwhistleError, StoreError
from contracts.instant import from_rfc3339
from contracts.principal import Principal
from dashboard_api.openapi import DOCUMENTED, json_response, refuses, returns
from dashboard_api.problem import ApiError
from dashboard_api.routes.examples import COMMANDS
from dashboard_api.services import Api, Asker, Services, peer
from runtime.log import get_log

router = APIRouter(prefix="/api/v1/commands", tags=["commands 命令"])

_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{8,128}")
_NEEDS_TARGET: Final = frozenset(
    {
        CommandKind.CONFIRM,
        CommandKind.FALSE_ALARM,
        CommandKind.ACKNOWLEDGE,
        CommandKind.UNMUTE,
        CommandKind.TICKET_MOVE,
        CommandKind.RESEND_DELIVERY,
    }
)

ShortText = Annotated[str, msgspec.Meta(max_length=200)]
Version = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
LongText = Annotated[str, msgspec.Meta(max_length=2_000)]


class MatcherRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a mute holds for; at least one field, all given ones must match."""

    type: ShortText | None = None
    source_id: ShortText | None = None
    grid_prefix: ShortText | None = None
    zone_id: ShortText | None = None


class CommandRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a command. `until` is RFC 3339; `reason` a reason code or sentence, `note` free text.

    `argument` names the state code that a `ticket_move` leads to. `expected_version` refuses the command when
    the target has changed since the asker looked.
    """

    kind: CommandKind
    target_id: ShortText = ""
    argument: ShortText = ""
    reason: ShortText = ""
    note: LongText = ""
    until: ShortText | None = None
    matcher: MatcherRequest | None = None
    expected_version: Version | None = None


class AnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was carried out; `sequence` is the change that shows it on the live link."""

    command_id: str
    accepted: bool
    message: str
    target_id: str
    version: int | None
    sequence: int | None


_decoder: Final = msgspec.json.Decoder(CommandRequest)


@router.post(
    "",
    summary="Ask for something",
    responses={
        **returns(AnswerView, description="Carried out and committed"),
        **refuses(
            s400="Idempotency-Key is missing or malformed",
            s409="The rules do not allow it; `allowed` lists what is allowed instead",
            s413="Body too large",
            s415="Not application/json",
            s422="The body does not fit",
            s503="alerts is away; ask again with the same Idempotency-Key",
        ),
    },
    openapi_extra=DOCUMENTED.body(CommandRequest, COMMANDS),
)
async def post_command(
    api: Api,
    asker: Asker,
    request: Request,
    idempotency_key: Annotated[str, Header(description="8 to 128 of A-Z a-z 0-9 . _ : -")] = "",
) -> Response:
    """Waits until alerts has committed. Asked twice with one Idempotency-Key, done once, answered the same."""
    if not _KEY.fullmatch(idempotency_key):
        raise ApiError(
            400,
            "idempotency_key",
            "缺少或无效的 Idempotency-Key (send this header: 8 to 128 of A-Z a-z 0-9 . _ : -)",
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "content_type", "请求体须为 application/json (send JSON)")
    command = _command(api, asker, idempotency_key, await request.body())
    try:
        answer = await _ask(api, command)
    except GridwhistleError as error:
        await _enter(api, asker, request, command, error.reason)
        raise
    await _enter(api, asker, request, command, "accepted")
    return json_response(
        AnswerView(
            command_id=answer.command_id,
            accepted=True,
            message=answer.message,
            target_id=answer.target_id,
            version=answer.version,
            sequence=answer.sequence,
        )
    )


def _command(api: Services, asker: Principal, key: str, body: bytes) -> Command:
    try:
        wish = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ApiError(422, "command_body", f"命令内容有误 (the command does not fit: {error})") from None
    if wish.kind in _NEEDS_TARGET and not wish.target_id:
        raise ApiError(422, "command_target", f"{wish.kind} 需要 target_id (name the target)")
    if wish.kind == CommandKind.FALSE_ALARM and not wish.reason:
        raise ApiError(422, "command_reason", "误报须注明原因 (a false alarm needs a reason)")
    if wish.kind == CommandKind.MUTE and (wish.matcher is None or wish.until is None or not wish.reason):
        raise ApiError(422, "command_mute", "静音须有范围、期限和原因 (a mute needs matcher, until and reason)")
    matcher = MuteMatcher(**msgspec.structs.asdict(wish.matcher)) if wish.matcher is not None else None
    if matcher is not None and matcher == MuteMatcher():
        raise ApiError(422, "command_mute", "静音范围不能为空 (the matcher must name at least one field)")
    return Command(
        id=key,
        site=api.site.id,
        kind=wish.kind,
        principal=asker,
        at=api.clock.now(),
        target_id=wish.target_id,
        argument=wish.argument,
        reason=wish.reason,
        note=wish.note,
        until=from_rfc3339(wish.until) if wish.until is not None else None,
        matcher=matcher,
        expected_version=wish.expected_version,
        exercise=api.site.exercise,
    )


async def _ask(api: Services, command: Command) -> CommandAnswer:
    data = await api.client.request(
        topics.REQUEST_COMMAND, wire.encode(command), timeout_s=api.config.command_timeout_s
    )
    answer = wire.decode(data, CommandAnswer)
    if not answer.accepted:
        api.counters.count("commands_refused", answer.reason)
        raise CommandRefused(
            answer.message or "命令被拒绝 (the command was refused)",
            reason=answer.reason or "command_refused",
            allowed=answer.allowed,
        )
    api.counters.count("commands_accepted", command.kind)
    return answer


async def _enter(api: Services, asker: Principal, request: Request, command: Command, outcome: str) -> None:
    """A full disk must not keep an operator from confirming a fire: the loss of the entry is counted and logged;
    the decision itself stands in alerts' journal with the principal's name."""
    try:
        await api.register.append(
            at=command.at,
            principal=asker,
            action=f"command.{command.kind}",
            target=command.target_id,
            reason=" ".join(part for part in (command.argument, command.reason, command.note) if part),
            outcome=outcome,
            peer=peer(request),
        )
    except StoreError as error:
        api.counters.count("register_entries_lost", error.reason)
        get_log().error("An entry of the access register was lost", command=command.id, error=str(error))
