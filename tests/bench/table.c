#include "tests/bench/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct row *find(struct table *table, const char *setting, const char *figure)
{
	for (size_t i = 0; i < table->n; i++)
		if (!strcmp(table->rows[i].setting, setting) && !strcmp(table->rows[i].figure, figure))
			return &table->rows[i];
	return NULL;
}

void table_note(struct table *table, const char *setting, const char *figure, const char *unit, double value)
{
	struct row *row = find(table, setting, figure);

	if (!row && table->n == TABLE_ROWS_MAX)
		stop("more figures than the table has rows");
	if (!row) {
		row = &table->rows[table->n++];
		*row = (struct row){ .setting = setting, .figure = figure, .unit = unit };
	}
	samples_add(&row->runs, value);
}

void table_limit(struct table *table, const char *setting, const char *figure, const char *limit_of, double limit)
{
	struct row *row = find(table, setting, figure);

	if (!row)
		return;
	row->limit_of = limit_of;
	row->limit = limit;
}

/* Of few runs: with an even number of them the middle of the two in the middle. */
static double median_of(struct row *row)
{
	const double above = samples_at(&row->runs, 0.5); /* sorts */

	return row->runs.n && row->runs.n % 2 == 0 ? (above + row->runs.values[row->runs.n / 2 - 1]) / 2 : above;
}

double table_median(struct table *table, const char *setting, const char *figure)
{
	struct row *row = find(table, setting, figure);

	return row ? median_of(row) : 0;
}

/* Three digits that count, and the unit: thousands as k, millions as M, but of µs as ms. */
static const char *short_number(double value, const char *unit, char text[32])
{
	const char *letter = "";

	if (!strcmp(unit, "µs") && value >= 1e4) {
		value /= 1e3;
		unit = "ms";
	} else if (value >= 1e6) {
		value /= 1e6;
		letter = "M";
	} else if (value >= 1e4) {
		value /= 1e3;
		letter = "k";
	}
	(void)snprintf(text, 32, "%.*f %s%s", value >= 100 ? 0 : value >= 10 ? 1 : 2, value, letter, unit);
	return text;
}

/* printf counts bytes: a cell is filled up by what the eye sees. */
static void print_cell(const char *text, int width)
{
	int seen = 0;

	for (const char *c = text; *c; c++)
		seen += (*c & 0xc0) != 0x80;
	printf("  %*s%s", width > seen ? width - seen : 0, "", text);
}

static void print_text(struct row *row)
{
	char number[32], other[32], spread[80] = "", ratio[32];
	const double median = median_of(row);

	if (row->runs.n > 1)
		(void)snprintf(spread, sizeof spread, "%s to %s", short_number(samples_at(&row->runs, 0), row->unit, number),
		               short_number(samples_at(&row->runs, 1), row->unit, other));
	printf("  %-58s", row->figure);
	print_cell(short_number(median, row->unit, number), 12);
	if (row->limit_of && row->limit > 0) {
		(void)snprintf(ratio, sizeof ratio, "%.2f", median / row->limit);
		print_cell(short_number(row->limit, row->unit, number), 12);
		print_cell(ratio, 6);
	} else {
		printf("%22s", "");
	}
	print_cell(spread, 24);
	printf("  %s\n", row->limit_of ? row->limit_of : "");
}

static void print_json(struct row *row)
{
	const double median = median_of(row);

	printf("{\"setting\":\"%s\",\"figure\":\"%s\",\"unit\":\"%s\",\"value\":%.6g,\"lowest\":%.6g,\"highest\":%.6g,\"runs\":%zu", row->setting, row->figure,
	       row->unit, median, samples_at(&row->runs, 0), samples_at(&row->runs, 1), row->runs.n);
	if (row->limit_of && row->limit > 0)
		printf(",\"limit_of\":\"%s\",\"limit\":%.6g,\"ratio\":%.6g", row->limit_of, row->limit, median / row->limit);
	puts("}");
}

void table_print(struct table *table, bool json)
{
	const char *setting = "";

	for (size_t i = 0; i < table->n; i++) {
		struct row *row = &table->rows[i];

		if (!json && strcmp(setting, row->setting))
			printf("\n%-60s  %12s  %12s  %6s  %24s  %s\n", row->setting, "ours", "limit", "ratio", "lowest to highest", "the limit is");
		setting = row->setting;
		if (json)
			print_json(row);
		else
			print_text(row);
	}
}

void table_release(struct table *table)
{
	for (size_t i = 0; i < table->n; i++)
		samples_release(&table->rows[i].runs);
	table->n = 0;
}
