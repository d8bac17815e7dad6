/* Every sentence that the command says to people, in English and in Dutch: TEXT(name, en, nl). Each % stands for an
 * argument of say(), in the same order in both languages. */
#ifndef CLI_TEXTS_H
#define CLI_TEXTS_H

#define CLI_TEXTS(TEXT) \
	TEXT(HELP_KEYGEN, "make the two files of a key", "maak de twee bestanden van een sleutel") \
	TEXT(HELP_PUBLISH, "hand in an event, or a file of them", "lever een bericht in, of een bestand vol") \
	TEXT(HELP_INBOX, "what came in and is not done, most urgent first", "wat binnenkwam en nog open staat, dringendste eerst") \
	TEXT(HELP_DONE, "it has been dealt with", "het is afgehandeld") \
	TEXT(HELP_RETRY, "give it to the command again that was given up", "geef opnieuw door wat was opgegeven") \
	TEXT(HELP_STATUS, "link, outbox, refusals", "verbinding, wat wacht, weigeringen") \
	TEXT(HELP_RECEIPTS, "what was answered to what was handed in", "wat op het ingeleverde is geantwoord") \
	TEXT(HELP_LINK, "your own file number of a case", "uw eigen dossiernummer van een zaak") \
	TEXT(HELP_DIRECTORY, "whom to telephone", "wie u kunt bellen") \
	TEXT(HELP_RECEIVE, "you have seen the offer", "u hebt het aanbod gezien") \
	TEXT(HELP_ACCEPT, "you take it over", "u neemt het over") \
	TEXT(HELP_DECLINE, "you do not take it over", "u neemt het niet over") \
	TEXT(HELP_START, "it has started", "het is begonnen") \
	TEXT(HELP_COMPLETE, "it has ended well", "het is afgerond") \
	TEXT(HELP_END, "it ended early", "het is voortijdig beëindigd") \
	TEXT(HELP_WITHDRAW, "you take your offer back", "u trekt uw aanbod in") \
	TEXT(HELP_ASK, "you need to know more about an offer", "u wilt meer weten over een aanbod") \
	TEXT(HELP_ANSWER, "you answer a question about your offer", "u beantwoordt een vraag over uw aanbod") \
	TEXT(HELP_CASE, "a case: dates, needs, gaps, handovers, timeline", "een zaak: datums, behoeften, gaten, overdrachten, verloop") \
	TEXT(HELP_CASES, "your cases, by release date", "uw zaken, op datum van vrijlating") \
	TEXT(HELP_OFFERS, "offers that wait for your answer, by deadline", "aanbod dat op uw antwoord wacht, op termijn") \
	TEXT(HELP_ACCEPT_EPOCH, "accept that the broker's log goes on without its end", "aanvaard dat het logboek van de broker zonder zijn einde verdergaat") \
	TEXT(EPOCH_ACCEPTED, "Accepted. % events are offered to the broker again; % that came from the lost end keep their place in the inbox.", "Aanvaard. % berichten worden opnieuw aangeboden; % uit het verloren einde houden hun plaats in de inbox.") \
	TEXT(HELP_REPLAY, "the log, for auditors", "het logboek, voor toezichthouders") \
	TEXT(HELP_ADMIN, "operate the broker", "beheer de broker") \
	TEXT(HELP_REHEARSE, "play a scenario on a simulated clock", "speel een scenario op een nagebootste klok") \
	TEXT(USAGE_WORD, "Usage", "Gebruik") \
	TEXT(MORE_HELP, "reentry COMMAND --help tells more.", "reentry COMMANDO --help vertelt meer.") \
	TEXT(ACCEPTED, "accepted", "aangenomen") \
	TEXT(DUPLICATE, "handed in before", "was al ingeleverd") \
	TEXT(STALE, "recorded, but a newer version counts", "vastgelegd, maar een nieuwere versie geldt") \
	TEXT(REFUSED, "refused", "geweigerd") \
	TEXT(QUEUED, "in the outbox, not yet confirmed: it is on disk and goes out as soon as the link is up", \
	     "in het postvak uit, nog niet bevestigd: het staat op schijf en gaat weg zodra er verbinding is") \
	TEXT(NOTHING_OPEN, "Nothing is waiting for you.", "Er wacht niets op u.") \
	TEXT(URGENT_WORD, "URGENT", "SPOED") \
	TEXT(DONE_WORD, "done", "klaar") \
	TEXT(OLDER, "% older", "% eerdere") \
	TEXT(OPEN_ITEMS, "% open", "% open") \
	TEXT(TODAY, "today", "vandaag") \
	TEXT(TOMORROW, "tomorrow", "morgen") \
	TEXT(YESTERDAY, "yesterday", "gisteren") \
	TEXT(IN_DAYS, "in % days", "over % dagen") \
	TEXT(DAYS_AGO, "% days ago", "% dagen geleden") \
	TEXT(IN_TIME, "in %", "over %") \
	TEXT(TIME_AGO, "% ago", "% geleden") \
	TEXT(LINK_UP_TEXT, "up", "tot stand") \
	TEXT(LINK_DOWN_TEXT, "down", "verbroken") \
	TEXT(LINK_CONNECTING, "connecting", "bezig") \
	TEXT(SINCE, "since %", "sinds %") \
	TEXT(AGENCY, "agency", "instantie") \
	TEXT(LINK, "link", "verbinding") \
	TEXT(OUTBOX, "outbox", "postvak uit") \
	TEXT(INBOX, "inbox", "postvak in") \
	TEXT(WAITING, "% waiting for a receipt", "% zonder ontvangstbewijs") \
	TEXT(OLDEST, "the oldest from %", "het oudste van %") \
	TEXT(EMPTY, "empty", "leeg") \
	TEXT(REFUSALS, "refusals", "weigeringen") \
	TEXT(REFUSALS_COUNT, "%; see: reentry receipts --refused", "%; zie: reentry receipts --refused") \
	TEXT(NONE_TEXT, "none", "geen") \
	TEXT(OPEN_COUNT, "% open", "% open") \
	TEXT(OPEN_URGENT, "% open, % of them urgent", "% open, waarvan % met spoed") \
	TEXT(UNDELIVERED, "undelivered", "niet ontvangen") \
	TEXT(UNDELIVERED_COUNT, "%; see: reentry inbox --type delivery.overdue", "%; zie: reentry inbox --type delivery.overdue") \
	TEXT(SPOOL, "spool", "map") \
	TEXT(SPOOL_COUNT, "% being handed in, % done, % failed since the start", "% onderweg, % klaar, % mislukt sinds de start") \
	TEXT(EXEC, "command", "opdracht") \
	TEXT(EXEC_COUNT, "% waiting, % running, % given up", "% wachten, % bezig, % opgegeven") \
	TEXT(NO_NUMBER, "no file number", "geen dossiernummer") \
	TEXT(RELEASE, "release", "vrijlating") \
	TEXT(RELEASED, "released", "vrijgelaten") \
	TEXT(NO_RELEASE_DATE, "no date known", "nog geen datum bekend") \
	TEXT(START_OF_SENTENCE, "start", "begin") \
	TEXT(PHASE_WORD, "phase", "fase") \
	TEXT(WHERE, "custody", "verblijf") \
	TEXT(DESTINATION, "destination", "bestemming") \
	TEXT(NO_DESTINATION, "not known: the national desk looks for one", "onbekend: het landelijk loket zoekt er een") \
	TEXT(YOUR_RELATION, "you are", "u bent") \
	TEXT(RELATIONS, "related", "betrokken") \
	TEXT(AGENCY_AS, "% (%)", "% (%)") \
	TEXT(NOTHING, "", "") \
	TEXT(HELP_PROVE, "the records of a case with proofs, for anybody to check", "de gegevens van een zaak met bewijzen, door ieder te controleren") \
	TEXT(HELP_VERIFY, "check a bundle, or a whole log, offline", "controleer een bundel, of een heel logboek, zonder verbinding") \
	TEXT(HELP_REPORT, "who was given what; days of notice, for auditors", "wie kreeg wat; dagen aankondiging, voor toezichthouders") \
	TEXT(ACCESS_REPORTED, "% reported: % (class %)", "% meldde: % (klasse %)") \
	TEXT(ACCESS_REPORTED_ERASED, "% reported something that has been erased: %", "% meldde iets wat is gewist: %") \
	TEXT(ACCESS_GIVEN, "    given to % as %: handed over %, received %", "    verstrekt aan % als %: overgedragen %, ontvangen %") \
	TEXT(ACCESS_NOT_RECEIVED, "    given to % as %: handed over %, not received", "    verstrekt aan % als %: overgedragen %, niet ontvangen") \
	TEXT(ACCESS_NOT_GIVEN, "    meant for % as %: not handed over", "    bestemd voor % als %: niet overgedragen") \
	TEXT(ACCESS_CONSENT, "%, with consent", "%, met toestemming") \
	TEXT(NAMED_ONLY, "named in it", "erin genoemd") \
	TEXT(ACCESS_SHOWN, "% looked at the case.", "% bekeek de zaak.") \
	TEXT(ACCESS_READ, "% read the case in the log.", "% las de zaak in het logboek.") \
	TEXT(ACCESS_READ_ALL, "% read the log of all cases.", "% las het logboek van alle zaken.") \
	TEXT(ACCESS_PROVED, "% took a bundle of the case with its proofs.", "% nam een bundel van de zaak met de bewijzen.") \
	TEXT(ACCESS_DENIED, "% asked about the case and was refused (%).", "% vroeg naar de zaak en werd geweigerd (%).") \
	TEXT(ACCESS_REFUSED, "% wanted to report something and was refused (%).", "% wilde iets melden en werd geweigerd (%).") \
	TEXT(ACCESS_STALE, "% reported something that was out of date; nobody was told.", "% meldde iets wat achterhaald was; niemand kreeg het te horen.") \
	TEXT(ACCESS_ERASE_ORDERED, "% ordered the erasure of the case.", "% gaf opdracht de zaak te wissen.") \
	TEXT(ACCESS_ERASE_WITHDRAWN, "% withdrew the order of erasure.", "% trok de opdracht tot wissen in.") \
	TEXT(ACCESS_ERASE_CONFIRMED, "% confirmed the erasure.", "% bevestigde het wissen.") \
	TEXT(ACCESS_ERASED, "% destroyed the keys: the content is gone.", "% vernietigde de sleutels: de inhoud is weg.") \
	TEXT(ACCESS_PURPOSE, "Purpose: %.", "Doel: %.") \
	TEXT(ACCESS_FOR, "On behalf of: %.", "Namens: %.") \
	TEXT(NOTICE_TOWN, "municipality", "gemeente") \
	TEXT(NOTICE_RELEASES, "releases", "vrijlatingen") \
	TEXT(NOTICE_MEDIAN, "median days", "mediaan dagen") \
	TEXT(NOTICE_WORST, "worst", "slechtste") \
	TEXT(NOTICE_LATE, "late", "te laat") \
	TEXT(NOTICE_LATE_ONES, "Late", "Te laat") \
	TEXT(NOTICE_EVERY, "Every release", "Elke vrijlating") \
	TEXT(NOTICE_DAYS, "% days", "% dagen") \
	TEXT(NOTICE_ORDERED, "ordered", "bevolen") \
	TEXT(NOTICE_FIRST, "of a first date % days", "van een eerste datum % dagen") \
	TEXT(NOTICE_NONE, "No release in that time, as far as your scope shows it.", "Geen vrijlating in die tijd, voor zover uw bevoegdheid reikt.") \
	TEXT(NEVER_TOLD, "never told", "nooit verteld") \
	TEXT(AS_OF, "as on record on %, up to #%", "zoals vastgelegd op %, tot en met #%") \
	TEXT(GIVEN_AT, "given %", "verstrekt %") \
	TEXT(RECEIVED_AT, "received %", "ontvangen %") \
	TEXT(NOT_RECEIVED, "not received", "niet ontvangen") \
	TEXT(NOTHING_IN_SCOPE, "Nothing of this stands in the log, as far as your scope shows it.", "Hierover staat niets in het logboek, voor zover uw bevoegdheid reikt.") \
	TEXT(GOES_ON, "the answer broke off behind sequence %; it goes on when the broker can be asked again", "het antwoord brak af na volgnummer %; het gaat door zodra de broker weer bereikbaar is") \
	TEXT(NEEDS, "Needs", "Behoeften") \
	TEXT(SCREENING_WORD, "screening", "screening") \
	TEXT(DUE_BY, "due by %", "voor %") \
	TEXT(GAPS, "Gaps", "Gaten") \
	TEXT(HANDOVERS, "Handovers", "Overdrachten") \
	TEXT(TIMELINE, "Timeline", "Verloop") \
	TEXT(FROM_DATE, "from %", "vanaf %") \
	TEXT(UNTIL_DATE, "until %", "tot %") \
	TEXT(GAP_NIGHTS, "% nights after the release", "% nachten na de vrijlating") \
	TEXT(GAP_ONE_NIGHT, "1 night after the release", "1 nacht na de vrijlating") \
	TEXT(GAP_NOT_ARRANGED, "not arranged", "niet geregeld") \
	TEXT(DECIDE_BY, "decide by %", "besluit voor %") \
	TEXT(STARTS_ON, "starts %", "begint %") \
	TEXT(AGREED_FOR, "agreed for %", "afgesproken per %") \
	TEXT(START_NOT_REPORTED, "start not reported", "begin niet gemeld") \
	TEXT(RESPONSIBLE, "responsible: %", "verantwoordelijk: %") \
	TEXT(UNPLACED, "nobody has taken it", "niemand heeft het overgenomen") \
	TEXT(CLOSED, "closed", "afgesloten") \
	TEXT(SCREENING_DUE, "screening due %", "screening voor %") \
	TEXT(HOLD_ENDS, "release is confirmed %", "vrijlating wordt bevestigd %") \
	TEXT(NO_CASES, "No case matches.", "Geen zaak voldoet.") \
	TEXT(NO_OFFERS, "No offer waits for you.", "Er wacht geen aanbod op u.") \
	TEXT(GAPS_COUNT, "% gaps", "% gaten") \
	TEXT(ONE_GAP, "1 gap", "1 gat") \
	TEXT(ERASED, "erased", "gewist") \
	TEXT(CONNECTED, "connected", "verbonden") \
	TEXT(LINES_FAILED, "% of % events were refused", "% van % berichten zijn geweigerd") \
	TEXT(LINES_QUEUED, "% of % events wait in the outbox, not yet confirmed", "% van % berichten wachten in het postvak uit, nog niet bevestigd") \
	TEXT(LINE_WORD, "line %", "regel %") \
	TEXT(COUNT_ACCEPTED, "% events accepted", "% berichten aangenomen") \
	TEXT(DONE_COUNT, "% done", "% afgehandeld") \
	TEXT(RETRIED_COUNT, "% given to the command again", "% opnieuw aan de opdracht gegeven") \
	TEXT(KEYS_MADE, "%/%.pub is to be given to the other side; %/%.key never leaves this machine", \
	     "%/%.pub geeft u aan de andere kant; %/%.key verlaat deze machine nooit")

#define CLI_TEXT_NAME(name, en, nl) T_##name,
enum text { CLI_TEXTS(CLI_TEXT_NAME) T_COUNT };
#undef CLI_TEXT_NAME

#endif
