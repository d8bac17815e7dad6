"""Proves that an auditor's reports say what happened: who was given what of a case and when, who asked and was denied, in plain words of two languages; and the days of notice of each
municipality, as a table, CSV and JSON, from the broker and from a file of the log."""
import csv
import datetime
import io
import json
import re

from country import wait_for
from test_audit_replay import WHY, day, play  # noqa: F401, pylint: disable=unused-import
from test_protocol_conversation import ACCEPTED, open_case


def report(p, *arguments, lang="en", code=0):
    return p.auditor.cli("--lang", lang, "report", *arguments, code=code).stdout


def when(text):
    """The moment itself: whole seconds are printed without a fraction, so that texts do not sort."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_who_was_given_what_and_who_asked(play):  # noqa: F811
    p = play()
    open_case(p.prison, "C-1")
    open_case(p.prison, "C-2")
    p.need("C-1", "HOUSING")
    p.received("gm0344", 3)
    p.agencies["gm0344"].stop()
    p.date("C-1", day(200)[0])
    p.agencies["gm0344"].start()
    p.received("gm0344", 4)
    p.agencies["gm0344"].cli("case", "C-1")
    stranger = p.country.peer("gm0599").hello()
    assert stranger.ask("case", case="C-1")[2].code == "no-such-case"
    assert stranger.publish_one("case.closed", "C-1").code == "no-such-case"
    p.replay("--case", "C-1", "--on-behalf-of", "inspector 12")
    p.replay("--case", "C-2")
    p.replay()
    facts = [json.loads(line) for line in p.auditor.cli("--json", "report", "access", "--case", "C-1", *WHY).stdout.splitlines()]
    assert [(f["what"], f["agency"], f.get("type")) for f in facts[:3]] == [
        ("reported", "pi-utrecht", "custody.started"), ("reported", "pi-utrecht", "need.screened"), ("reported", "pi-utrecht", "release.date-set")]
    for fact in facts[:3]:
        [to] = [t for t in fact["to"] if t["agency"] == "gm0344"]
        assert to["relations"] == ["municipality"] and when(fact["at"]) <= when(to["delivered"]) <= when(to["acknowledged"])
    late = facts[2]["to"][0]
    assert when(late["delivered"]) > when(facts[2]["at"]), "it was offline"
    rest = [(f["what"], f["agency"], f.get("on_behalf_of")) for f in facts[3:]]
    assert rest == [("shown", "gm0344", None), ("denied", "gm0599", None), ("refused", "gm0599", None), ("read", "audit-nl", "inspector 12"), ("read-all", "audit-nl", None)]
    page = report(p, "access", "--case", "C-1", *WHY)
    assert "pi-utrecht reported: custody started" in page and "given to gm0344" in page and "municipality" in page and "inspector 12" in page
    assert "gm0599 asked about the case and was refused" in page
    page = report(p, "access", "--case", "C-1", *WHY, lang="nl")
    assert "pi-utrecht meldde: detentie begonnen" in page and "verstrekt aan gm0344" in page and "werd geweigerd" in page
    assert report(p, "access", "--case", "C-9", *WHY).count("\n") == 1
    assert p.auditor.cli("report", "access", code=2).stderr.count("\n") == 1
    assert p.auditor.cli("report", "weather", code=2).stdout == ""
    assert "not-allowed" in p.agencies["gm0344"].cli("report", "access", "--case", "C-1", code=1).stderr


def release(p, case, days_ago):
    event = p.country.proto.event
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)
    assert p.prison.publish_one("release.recorded", case, event.Released(released_at=event.Moment(ms=int(at.timestamp() * 1000)))).result == ACCEPTED


def test_days_of_notice(play, tmp_path):  # noqa: F811
    p = play(towns=("gm0344", "gm0599"))
    event = p.country.proto.event
    court = p.country.peer("om-utrecht").hello()
    start = int((datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=30)).timestamp() * 1000)
    for case, town in (("C-1", "0344"), ("C-2", "0344"), ("C-3", "0599")):
        custody = event.CustodyStarted(start=event.Moment(ms=start), origin=town, destination=town)
        assert p.prison.publish_one("custody.started", case, custody).result == ACCEPTED
        p.date(case, day(0 if case == "C-1" else 90)[0])
    def waiting():
        return {q["agency"] for q in p.country.control(do="queues")[0]} & {"gm0344", "gm0599"}
    wait_for(lambda: not waiting(), "what was said so far")
    p.agencies["gm0599"].stop()
    for case in ("C-2", "C-3"):
        assert court.publish_one("sentence.imposed", case, event.SentenceImposed(kind=1)).result == ACCEPTED
        assert court.publish_one("release.ordered", case, event.ReleaseOrdered(ordered_at=event.Moment(ms=start + 30 * 86400000))).result == ACCEPTED
    for case in ("C-2", "C-3"):
        release(p, case, 0)          # confirmed at once: it was ordered
    wait_for(lambda: waiting() == {"gm0599"}, "gm0344 to have everything")
    today = day(0)[1]
    window = ["--from", today, "--to", day(1)[1]]
    lines = [json.loads(line) for line in p.auditor.cli("--json", "report", "notice", *window, *WHY).stdout.splitlines()]
    assert lines[:2] == [{"municipality": "gm0344", "releases": 1, "median_days": 0, "worst_days": 0, "late": 1},
                         {"municipality": "gm0599", "releases": 1, "median_days": None, "worst_days": None, "late": 1}]
    assert [(f["municipality"], f["case"], f["released"], f["notice_days"], f["first_days"], f["ordered"], f["late"]) for f in lines[2:]] == [
        ("gm0344", "C-2", today, 0, 0, True, True), ("gm0599", "C-3", today, None, 0, True, True)], "handed over to nobody is told to nobody"
    table = list(csv.reader(io.StringIO(report(p, "notice", *window, "--csv"))))
    assert table == [["municipality", "releases", "median_days", "worst_days", "late"], ["gm0344", "1", "0", "0", "1"], ["gm0599", "1", "never", "never", "1"]]
    assert len(list(csv.reader(io.StringIO(report(p, "notice", *window, "--csv", "--releases"))))) == 3
    page = report(p, "notice", *window)
    assert re.search(r"gm0344 +1 +0 +0 +1\n", page) and "ordered" in page and "C-3" in page
    assert "mediaan" in report(p, "notice", *window, lang="nl")
    assert report(p, "notice", "--to", "2020-01-01").count("\n") == 1
    assert report(p, "notice", *window, "--late", "0", "--csv").splitlines()[1] == "gm0344,1,0,0,0"
    p.auditor.cli("report", "notice", "--from", "soon", code=2)
    saved = tmp_path / "log.jsonl"
    saved.write_text(p.auditor.cli("--json", "replay", "--records", *WHY).stdout, encoding="utf-8")
    p.auditor.stop()
    assert p.auditor.cli("--json", "report", "notice", *window, "--file", str(saved)).stdout.splitlines() == [json.dumps(line, separators=(",", ":")) for line in lines], "with no daemon"
    p.auditor.start()
    p.agencies["gm0599"].start()


def test_a_report_shows_no_more_than_the_scope(play):  # noqa: F811
    p = play()
    open_case(p.prison, "C-1")
    p.need("C-1", "HOUSING")
    p.received("gm0344", 2)
    for scope, expected in (('municipalities = [ "0344" ]; types = [ "*" ]; classes = [ "A", "B" ];', ["custody.started", "need.screened"]),
                            ('municipalities = [ "0344" ]; types = [ "*" ]; classes = [ "A" ];', ["custody.started"]),
                            ('municipalities = [ "0599" ]; types = [ "*" ]; classes = [ "A", "B" ];', []),
                            ('types = [ "*" ]; classes = [ "A", "B" ];', []), ('municipalities = [ "*" ]; classes = [ "A", "B" ];', []), ('municipalities = [ "*" ]; types = [ "*" ];', []), (None, [])):
        p.country.scope = scope
        p.country.write_config()
        p.country.reload()
        facts = [json.loads(line) for line in p.auditor.cli("--json", "report", "access", "--case", "C-1").stdout.splitlines()]
        assert [f["type"] for f in facts if f["what"] == "reported"] == expected, scope
        assert expected or facts == [], scope
