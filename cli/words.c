/* The words of the domain and the sentences of the command, in English and in Dutch. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

static const struct { const char *en, *nl; } sentences[] = {
#define ROW(name, english, dutch) {english, dutch},
	CLI_TEXTS(ROW)
#undef ROW
};

const char *text_of(const struct cli *cli, enum text text)
{
	return cli->lang == LANG_NL ? sentences[text].nl : sentences[text].en;
}

const char *say(struct cli *cli, enum text text, ...)
{
	struct buf out;
	va_list arguments;
	buf_init(&out);
	va_start(arguments, text);
	for (const char *at = text_of(cli, text); *at != '\0'; at++) {
		const char *argument = *at == '%' ? va_arg(arguments, const char *) : NULL;
		if (argument != NULL)
			(void)buf_text(&out, argument); /* the buffer remembers its error */
		else
			(void)buf_add(&out, at, 1);
	}
	va_end(arguments);
	const char *said = out.error == OK ? arena_strdup(&cli->shown, (const char *)out.bytes) : NULL;
	buf_release(&out);
	return said != NULL ? said : "";
}

const char *number(struct cli *cli, int64_t value)
{
	const char *text = arena_printf(&cli->shown, "%lld", (long long)value);
	return text != NULL ? text : "";
}

struct word { const char *name, *en, *nl; };

/* Sorted, for binary search; a unit test holds it against the catalogue. */
static const struct word types[] = {
	{"care.arranged", "care arranged", "zorg geregeld"},
	{"care.ended", "care ended", "zorg beëindigd"},
	{"case.closed", "case closed", "zaak afgesloten"},
	{"case.merged", "cases merged", "zaken samengevoegd"},
	{"case.snapshot", "where the case stands", "stand van zaken"},
	{"case.unmerged", "merge undone", "samenvoeging ongedaan gemaakt"},
	{"case.withdrawn", "no longer yours", "niet langer bij u"},
	{"community-service.assigned", "community service assigned", "taakstraf opgelegd"},
	{"community-service.behind", "community service behind schedule", "taakstraf loopt achter"},
	{"community-service.completed", "community service completed", "taakstraf voltooid"},
	{"community-service.converted", "community service converted", "taakstraf omgezet"},
	{"community-service.hours-booked", "hours booked", "uren geboekt"},
	{"community-service.missed", "did not come", "niet verschenen"},
	{"community-service.placed", "community service placed", "taakstraf geplaatst"},
	{"community-service.returned-failed", "community service failed", "taakstraf mislukt"},
	{"consent.given", "consent given", "toestemming gegeven"},
	{"consent.withdrawn", "consent withdrawn", "toestemming ingetrokken"},
	{"custody.hospitalised", "in hospital", "in het ziekenhuis"},
	{"custody.leave-returned", "back from leave", "terug van verlof"},
	{"custody.leave-started", "on leave", "met verlof"},
	{"custody.started", "custody started", "detentie begonnen"},
	{"custody.transferred", "transferred", "overgeplaatst"},
	{"debt.plan-agreed", "debt plan agreed", "schuldregeling getroffen"},
	{"debt.plan-broken", "debt plan broken", "schuldregeling verbroken"},
	{"delivery.overdue", "not received yet", "nog niet ontvangen"},
	{"destination.changed", "moves to another municipality", "verhuist naar een andere gemeente"},
	{"destination.unassigned", "no municipality known", "geen gemeente bekend"},
	{"education.dropped-out", "left education", "gestopt met opleiding"},
	{"education.enrolled", "enrolled in education", "ingeschreven voor opleiding"},
	{"erasure.due", "must be erased", "moet worden gewist"},
	{"erasure.executed", "erased", "gewist"},
	{"family.plan-agreed", "family plan agreed", "gezinsplan afgesproken"},
	{"followup.done", "follow-up done", "nazorgcontact gehad"},
	{"followup.due", "follow-up due", "nazorgcontact nodig"},
	{"gap.closed", "gap closed", "gat gedicht"},
	{"gap.detected", "gap", "gat"},
	{"handover.accepted", "handover accepted", "overdracht aanvaard"},
	{"handover.completed", "handover completed", "overdracht afgerond"},
	{"handover.declined", "handover declined", "overdracht geweigerd"},
	{"handover.delivered", "offer delivered", "aanbod afgeleverd"},
	{"handover.ended-early", "handover ended early", "overdracht voortijdig beëindigd"},
	{"handover.escalated", "handover needs you now", "overdracht vraagt u nu"},
	{"handover.expired", "offer expired", "aanbod verlopen"},
	{"handover.info-given", "question answered", "vraag beantwoord"},
	{"handover.info-requested", "question about the offer", "vraag over het aanbod"},
	{"handover.offered", "handover offered", "overdracht aangeboden"},
	{"handover.received", "offer seen", "aanbod gezien"},
	{"handover.reconfirm", "please confirm again", "graag opnieuw bevestigen"},
	{"handover.reminder", "answer wanted", "antwoord gevraagd"},
	{"handover.started", "handover started", "overdracht begonnen"},
	{"handover.unplaced", "nobody has taken it", "niemand heeft het overgenomen"},
	{"handover.withdrawn", "offer withdrawn", "aanbod ingetrokken"},
	{"housing.arranged", "housing arranged", "huisvesting geregeld"},
	{"housing.arrived", "moved in", "aangekomen in huisvesting"},
	{"housing.left", "moved out", "vertrokken uit huisvesting"},
	{"housing.not-arranged", "housing not possible", "huisvesting niet gelukt"},
	{"housing.requested", "housing requested", "huisvesting aangevraagd"},
	{"identity.arranged", "identity papers arranged", "identiteitsbewijs geregeld"},
	{"income.arranged", "income arranged", "inkomen geregeld"},
	{"income.at-risk", "income at risk", "inkomen in gevaar"},
	{"insurance.restored", "insurance restored", "verzekering hersteld"},
	{"medication.bridged", "medication bridged", "medicatie overbrugd"},
	{"need.screened", "need screened", "behoefte gescreend"},
	{"need.status-changed", "need changed", "behoefte gewijzigd"},
	{"release.approaching", "release approaching", "vrijlating nadert"},
	{"release.confirmed", "released", "vrijgelaten"},
	{"release.date-set", "release date", "datum van vrijlating"},
	{"release.date-unknown", "release date unknown", "datum van vrijlating onbekend"},
	{"release.ordered", "release ordered", "vrijlating bevolen"},
	{"release.recorded", "release recorded", "vrijlating vastgelegd"},
	{"release.reversed", "release recorded in error", "vrijlating ten onrechte vastgelegd"},
	{"release.still-unknown", "still no release date", "nog steeds geen datum"},
	{"screening.overdue", "screening overdue", "screening te laat"},
	{"sentence.execution-planned", "start of the sentence planned", "begin van de straf gepland"},
	{"sentence.imposed", "sentence imposed", "straf opgelegd"},
	{"start.approaching", "start approaching", "begin nadert"},
	{"supervision.breach-reported", "breach of supervision", "overtreding van voorwaarden"},
	{"supervision.contact-held", "contact held", "contact gehad"},
	{"supervision.contact-missed", "contact missed", "contact gemist"},
	{"supervision.contact-overdue", "contact overdue", "contact te laat"},
	{"supervision.contact-planned", "contact planned", "contact gepland"},
	{"supervision.ended", "supervision ended", "toezicht beëindigd"},
	{"supervision.started", "supervision started", "toezicht begonnen"},
	{"tenancy.at-risk", "tenancy at risk", "huurwoning in gevaar"},
	{"volunteer.ended", "volunteer ended", "vrijwilliger gestopt"},
	{"volunteer.matched", "volunteer found", "vrijwilliger gevonden"},
	{"work.arranged", "work arranged", "werk geregeld"},
	{"work.at-risk", "work at risk", "werk in gevaar"},
	{"work.ended", "work ended", "werk beëindigd"},
};

/* Sorted as well. */
static const struct word words[] = {
	{"ACCEPTED", "accepted", "aanvaard"},
	{"ADDICTION", "addiction", "verslaving"},
	{"AFTER", "after", "na"},
	{"ARRANGED", "arranged", "geregeld"},
	{"BEFORE", "before", "voor"},
	{"CANCEL", "cancelled", "vervallen"},
	{"CARE", "care", "zorg"},
	{"COMMUNITY_SERVICE", "community service", "taakstraf"},
	{"COMPLETED", "completed", "afgerond"},
	{"CONFIRMED", "confirmed", "definitief"},
	{"DEBT", "debt", "schulden"},
	{"DECLINED", "declined", "geweigerd"},
	{"DECLINED_BY_PERSON", "the person does not want it", "betrokkene wil het niet"},
	{"DELIVERED", "delivered", "afgeleverd"},
	{"DETENTION", "detention", "detentie"},
	{"DUPLICATE", "was offered before", "al eerder aangeboden"},
	{"DURING", "during", "tijdens"},
	{"EDUCATION", "education", "opleiding"},
	{"ENDED_EARLY", "ended early", "voortijdig beëindigd"},
	{"EXPECTED", "expected", "verwacht"},
	{"EXPIRED", "expired", "verlopen"},
	{"FAMILY", "family", "gezin"},
	{"HOUSING", "housing", "huisvesting"},
	{"IDENTITY", "identity papers", "identiteitsbewijs"},
	{"INCOME", "income", "inkomen"},
	{"INFO_REQUESTED", "question asked", "vraag gesteld"},
	{"INSUFFICIENT_INFO", "too little is known", "te weinig bekend"},
	{"INSURANCE", "insurance", "verzekering"},
	{"IN_PROGRESS", "in progress", "in behandeling"},
	{"LATE", "too late", "te laat"},
	{"LVB", "mild intellectual disability", "licht verstandelijke beperking"},
	{"NEED_MET_ELSEWHERE", "arranged elsewhere", "elders geregeld"},
	{"NETWORK", "network", "netwerk"},
	{"NONE", "no need", "geen behoefte"},
	{"NOT_ARRANGED", "not arranged", "niet geregeld"},
	{"NOT_ELIGIBLE", "not eligible", "voldoet niet aan voorwaarden"},
	{"NOT_POSSIBLE", "not possible", "niet mogelijk"},
	{"NO_CAPACITY", "no capacity", "geen plaats"},
	{"NO_CONSENT", "no consent", "geen toestemming"},
	{"OFFERED", "offered", "aangeboden"},
	{"ON_HOLD", "on hold", "aangehouden"},
	{"OPEN", "open", "open"},
	{"OTHER", "another reason", "andere reden"},
	{"PERSON_REFUSES", "the person refuses", "betrokkene weigert"},
	{"PSYCHIATRIC", "psychiatric care", "psychiatrische zorg"},
	{"RECEIVED", "seen", "gezien"},
	{"RECONFIRM", "to be confirmed again", "opnieuw te bevestigen"},
	{"RETRACT", "taken back", "teruggenomen"},
	{"SAFETY", "safety", "veiligheid"},
	{"STARTED", "started", "begonnen"},
	{"SUPERSEDE", "corrected", "gecorrigeerd"},
	{"SUPERVISION", "supervision", "toezicht"},
	{"UNKNOWN", "unknown", "onbekend"},
	{"WITHDRAWN", "withdrawn", "ingetrokken"},
	{"WORK", "work", "werk"},
	{"WRONG_REGION", "wrong region", "verkeerde regio"},
	{"auditor", "auditor", "auditor"},
	{"authority", "authority", "opdrachtgever"},
	{"booking", "booking", "boeking"},
	{"candidate", "candidate", "kandidaat"},
	{"care", "care provider", "zorgaanbieder"},
	{"class", "class", "klasse"},
	{"complete_by", "to be completed by", "te voltooien voor"},
	{"condition", "on condition", "op voorwaarde"},
	{"court", "court", "rechtspraak"},
	{"custodian", "custodian", "inrichting"},
	{"day", "day", "dag"},
	{"days", "days", "dagen"},
	{"decide_by", "decide by", "besluit voor"},
	{"desk", "national desk", "landelijk loket"},
	{"destination", "to municipality", "naar gemeente"},
	{"education", "education", "onderwijs"},
	{"employer", "employer", "werkgever"},
	{"first_contact", "first contact", "eerste contact"},
	{"from", "from", "van"},
	{"from_date", "from", "vanaf"},
	{"hours", "hours", "uren"},
	{"hours_left", "hours left", "uren over"},
	{"housing", "housing", "huisvester"},
	{"interval_days", "every (days)", "elke (dagen)"},
	{"late", "late notice", "late melding"},
	{"municipality", "municipality", "gemeente"},
	{"nights", "nights", "nachten"},
	{"offer", "offer", "aanbod"},
	{"open_needs", "open needs:", "open behoeften:"},
	{"ordered", "ordered", "bevolen"},
	{"ordered_at", "ordered", "bevolen"},
	{"origin", "from municipality", "uit gemeente"},
	{"phase", "phase", "fase"},
	{"planned_at", "planned for", "gepland op"},
	{"prison", "prison", "inrichting"},
	{"probation", "probation", "reclassering"},
	{"provider", "provider", "uitvoerder"},
	{"purged", "records destroyed", "records vernietigd"},
	{"region", "region", "regio"},
	{"start_by", "to start by", "te beginnen voor"},
	{"starts_on", "starts", "begint"},
	{"supervisor", "supervisor", "toezichthouder"},
	{"support", "support", "ondersteuning"},
	{"then", "then", "daarna"},
	{"until", "until", "tot"},
	{"volunteer", "volunteers", "vrijwilligers"},
};

static const char *find(const struct cli *cli, const struct word *table, size_t n, const char *name)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, table[middle].name);
		if (order == 0)
			return cli->lang == LANG_NL ? table[middle].nl : table[middle].en;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return name;
}

const char *word_type(const struct cli *cli, const char *type)
{
	static const char prefix[] = "nl.reentry.";
	if (strncmp(type, prefix, sizeof prefix - 1) == 0)
		type += sizeof prefix - 1;
	return find(cli, types, sizeof types / sizeof *types, type);
}

const char *word(const struct cli *cli, const char *name)
{
	return find(cli, words, sizeof words / sizeof *words, name);
}
