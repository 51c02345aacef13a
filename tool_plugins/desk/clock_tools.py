"""Timers, alarms and reminders on the dispatcher's own store, and what the clock and the calendar say."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from voice_needle.errors import ToolRefused
from voice_needle.plugin import Context, Result

_PART = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_LONGEST = timedelta(days=7)
_EVERY = ("all", "both", "every", "all of")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
Pending = tuple[int, datetime, str, str]


# --- timers ----------------------------------------------------------------------------------------------------------


def timer_set(ctx: Context, duration: str, name: str = "") -> Result:
    lasts = parse_duration(duration)
    if not timedelta(seconds=1) <= lasts <= _LONGEST:
        raise ToolRefused(f"{duration} is out of range", spoken="A timer can run from one second to a week.")
    label = tidy(name) or _length(duration)
    number = ctx.timers.add(ctx.clock.now() + lasts, label, "timer")
    return Result(number=number, what=f"{capital(label)} timer" if name else "Timer")


def timer_remaining(ctx: Context, name: str = "", length: str = "") -> Result:
    running, asked = ctx.timers.pending("timer"), bool(name or length)
    chosen = _meant(running, name, length)
    if not chosen:
        return Result.not_found() if asked else Result(answer="There is no timer.")
    now = ctx.clock.now()
    if len(chosen) == 1:
        which = f" on the {chosen[0][2]} timer" if len(running) > 1 or asked else ""
        return Result(answer=f"{capital(in_words(_left(chosen[0], now)))} left{which}.")
    told = [f"{label}: {in_words(_left((number, due, label, kind), now))}" for number, due, label, kind in chosen]
    return Result(answer=f"{len(chosen)} timers. {capital('; '.join(told))}.")


def timer_cancel(ctx: Context, name: str = "", length: str = "") -> Result:
    running = ctx.timers.pending("timer")
    if not running:
        return Result.not_found()
    if tidy(name) in _EVERY:
        chosen = running
    else:
        chosen = _meant(running, name, length)
        if len(chosen) > 1:
            labels = [label for _, _, label, _ in chosen]
            return Result.several(options=labels, names=joined(labels, "or"), ask="name")
    done = [label for number, _, label, _ in chosen if ctx.timers.cancel(number)]
    if not done:
        return Result.not_found()
    what = f"{len(done)} timers" if len(done) > 1 else f"The {done[0]} timer is"
    return Result(what=what if len(done) == 1 else f"{what} are", count=len(done))


def _length(duration: str) -> str:
    """What a timer without a name is called: "10 minute"."""
    return re.sub(r"(minute|hour|second|day)s\b", r"\1", in_words(parse_duration(duration)))


def _meant(running: list[Pending], name: str, length: str) -> list[Pending]:
    """The timers of that name, or of exactly that length: "2 hour and 10 minute" holds the words of "10 minute"."""
    if name or not length:
        return _matching(running, name) if name else running
    return [item for item in running if item[2] == _length(length)]


def _matching(pending: list[Pending], name: str) -> list[Pending]:
    """Those of that name; exactly, else those that contain every word of it."""
    wanted = tidy(name)
    exact = [item for item in pending if item[2].lower() == wanted]
    return exact or [item for item in pending if set(wanted.split()) <= set(item[2].lower().split())]


def _left(item: Pending, now: datetime) -> timedelta:
    return max(timedelta(), item[1] - now)


# --- alarms ----------------------------------------------------------------------------------------------------------


def alarm_set(ctx: Context, at: str) -> Result:
    due = _future(ctx, at)
    return Result(number=ctx.timers.add(due, "", "alarm"), when=moment(due, ctx.clock.now()))


def alarm_list(ctx: Context) -> Result:
    alarms = ctx.timers.pending("alarm")
    if not alarms:
        return Result(answer="No alarm is set.")
    times = joined([moment(due, ctx.clock.now()) for _, due, _, _ in alarms])
    return Result(answer=f"There is an alarm for {times}." if len(alarms) == 1 else f"There are alarms for {times}.")


def alarm_cancel(ctx: Context, at: str = "", which: str = "") -> Result:
    alarms = [item for item in ctx.timers.pending("alarm") if not at or item[1].strftime("%H:%M") == at[:5]]
    if not alarms:
        return Result.not_found()
    when = [moment(due, ctx.clock.now()) for _, due, _, _ in alarms]
    if which == "all":
        done = sum(ctx.timers.cancel(number) for number, *_ in alarms)
        return Result(what=f"{done} alarm{' is' if done == 1 else 's are'}")
    if len(alarms) > 1:
        return Result.several(
            options=[due.strftime("%H:%M") for _, due, _, _ in alarms], names=joined(when, "or"), ask="at"
        )
    return Result(what=f"The alarm for {when[0]} is") if ctx.timers.cancel(alarms[0][0]) else Result.not_found()


# --- reminders -------------------------------------------------------------------------------------------------------


def reminder_set(ctx: Context, what: str, at: str) -> Result:
    due = _future(ctx, at)
    number = ctx.timers.add(due, _turned(what), "reminder")
    return Result(number=number, when=moment(due, ctx.clock.now(), on=True), what=_turned(what))


def reminder_list(ctx: Context) -> Result:
    waiting = ctx.timers.pending("reminder")
    if not waiting:
        return Result(answer="There are no reminders.")
    told = "; ".join(f"{moment(due, ctx.clock.now(), on=True)}: {label}" for _, due, label, _ in waiting)
    return Result(answer=capital(f"{told}."))


def reminder_cancel(ctx: Context, what: str) -> Result:
    found = _matching(ctx.timers.pending("reminder"), _turned(what))
    if not found:
        return Result.not_found()
    if len(found) > 1:
        labels = [label for _, _, label, _ in found]
        return Result.several(options=labels, names=joined(labels, "or"), ask="what")
    return Result(label=found[0][2]) if ctx.timers.cancel(found[0][0]) else Result.not_found()


def _turned(what: str) -> str:
    """ "call my mother" is said back as "call your mother"."""
    swapped = {
        "my": "your",
        "me": "you",
        "i": "you",
        "i'm": "you're",
        "am": "are",
        "mine": "yours",
        "myself": "yourself",
    }
    return " ".join(swapped.get(word, word) for word in what.lower().split())


def _future(ctx: Context, at: str) -> datetime:
    """Errors: ToolRefused for what has passed."""
    now = ctx.clock.now()
    due = datetime.fromisoformat(at)
    due = due if due.tzinfo else due.replace(tzinfo=now.tzinfo)
    if due <= now:
        raise ToolRefused(f"{at} has passed", spoken="That time has passed.")
    return due


def desk_forget(ctx: Context, number: int) -> Result:
    return Result() if ctx.timers.cancel(number) else Result.not_found()


# --- clock and calendar ----------------------------------------------------------------------------------------------


def time_now(ctx: Context) -> Result:
    return Result(time=clock_words(ctx.clock.now()))


def date_today(ctx: Context) -> Result:
    return Result(answer=f"It is {day_words(ctx.clock.now().date())}.")


def date_about(ctx: Context, date: str) -> Result:
    day, today = datetime.fromisoformat(date).date(), ctx.clock.now().date()
    away = (day - today).days
    if away == 0:
        return Result(answer=f"That is today, {day_words(day)}.")
    days = f"{abs(away)} day{'' if abs(away) == 1 else 's'}"
    return Result(answer=f"{day_words(day)}: in {days}." if away > 0 else f"{day_words(day)}: {days} ago.")


# --- words -----------------------------------------------------------------------------------------------------------


def parse_duration(text: str) -> timedelta:
    """ISO 8601 "PT1H30M". Errors: ToolRefused for years and months, which have no fixed length."""
    found = _PART.fullmatch(text)
    if found is None:
        raise ToolRefused(f"{text} is no duration", spoken="I cannot use that as a duration.")
    weeks, days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def in_words(lasts: timedelta) -> str:
    """ "1 hour and 30 minutes"; seconds only under an hour, rounded up, so that nothing is ever said to be left over early."""
    left = -(-int(lasts.total_seconds() * 1000) // 1000)
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count and not (name == "second" and lasts >= timedelta(hours=1)):
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return joined(parts) if parts else "no time"


def clock_words(at: datetime) -> str:
    """ "7:05 in the evening"."""
    hour, part = (
        at.hour % 12 or 12,
        "in the morning" if at.hour < 12 else "in the afternoon" if at.hour < 18 else "in the evening",
    )
    if (at.hour, at.minute) in ((0, 0), (12, 0)):
        return "midnight" if at.hour == 0 else "noon"
    return f"{hour}:{at.minute:02d} {part}" if at.minute else f"{hour} {part}"


def day_words(day: date) -> str:
    """ "Saturday, the 21st of November 2026"."""
    ending = "th" if 10 < day.day % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return f"{day.strftime('%A')}, the {day.day}{ending} of {_MONTHS[day.month - 1]} {day.year}"


def moment(due: datetime, now: datetime, *, on: bool = False) -> str:
    """ "7 in the evening", "tomorrow at 7 in the morning", "Monday at noon". on: with "at" or "on" where it is today or later."""
    due = due.astimezone(now.tzinfo)
    away = (due.date() - now.date()).days
    time = clock_words(due)
    if away == 0:
        return f"at {time}" if on else time
    if away == 1:
        return f"tomorrow at {time}"
    day = due.strftime("%A") if away < 7 else day_words(due.date())
    return f"{'on ' if on else ''}{day} at {time}"


def tidy(name: str) -> str:
    """A name as it is kept: without articles and "one", in small letters."""
    words = [word for word in name.lower().split() if word not in ("the", "my", "a", "an", "one", "timer", "timers")]
    return " ".join(words)


def joined(parts: list[str], word: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
