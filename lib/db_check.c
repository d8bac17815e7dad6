/* The format of LMDB 0.9 (version 1 of its files) on machines that are little-endian with 8-byte words, as it lies on disk. Everything that is read is taken for wrong until it was checked. */
#include "lib/db_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/db_folder.h"

#define MAGIC 0xBEEFC0DEu
#define VERSION 1u
#define PAGE_HEADER 16
#define NODE_HEADER 8
#define DEPTH_MAX 32
#define NONE UINT64_MAX              /* the root of an empty tree */
#define KEY_MAX 511
enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum { N_BIG = 1, N_TABLE = 2 };
enum { DB_INTEGERKEY = 8, ENV_NOSUBDIR = 0x4000 };

/* Of a tree, as it stands in a meta page or in the pair of a named table. */
struct tree_head { uint32_t pad; uint16_t flags, depth; uint64_t branch, leaf, overflow, entries, root; };
struct meta { uint32_t magic, version; uint64_t address, mapsize; struct tree_head trees[2]; uint64_t last_page, txn; };
struct page { uint64_t number; uint16_t pad, flags, lower, upper; };
struct node { uint16_t lo, hi, flags, key_n; };
_Static_assert(sizeof(struct tree_head) == 48 && sizeof(struct meta) == 136 && sizeof(struct page) == PAGE_HEADER && sizeof(struct node) == NODE_HEADER, "as LMDB lays them out");

struct key { const uint8_t *bytes; size_t n; };

struct check {
	const uint8_t *file; size_t size;
	uint32_t page_size;
	uint64_t last_page, txn;
	const char *const *names;    /* of tables that there may be; NULL: any */
	uint8_t *seen;               /* a byte a page: 1 used, 2 free */
	db_check_fault *fault; void *context; size_t faults;
	struct db_check result;
};

/* One tree on its way down. */
struct walk {
	struct check *check;
	const char *name;
	const struct tree_head *head;
	struct tree_head counted;
	struct key last; bool any;   /* the greatest key so far */
	bool integer, tables;        /* keys are numbers; values may be tables */
};

static void tell(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct check *c, const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (c->faults++ >= DB_CHECK_FAULTS_MAX)
		return;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments); /* cut where it is too long */
	va_end(arguments);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	c->fault(c->context, text);
}

/* --- pages --------------------------------------------------------------------------------------------------------------- */

/* Takes n pages for used, each once. */
static bool claim(struct walk *w, uint64_t number, uint64_t n)
{
	struct check *c = w->check;

	if (number < 2 || number > c->last_page || n > c->last_page - number + 1 || (number + n) * c->page_size > c->size) {
		tell(c, "%s: page %" PRIu64 " lies outside the file", w->name, number);
		return false;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (c->seen[number + i]) {
			tell(c, "%s: page %" PRIu64 " is used twice", w->name, number + i);
			return false;
		}
		c->seen[number + i] = 1;
	}
	c->result.pages += n;
	return true;
}

static const uint8_t *page_at(const struct check *c, uint64_t number, struct page *ret_page)
{
	const uint8_t *at = c->file + number * c->page_size;

	memcpy(ret_page, at, sizeof *ret_page);
	return at;
}

static int compare_keys(const struct walk *w, const struct key *a, const struct key *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int order;

	if (w->integer && a->n == 8 && b->n == 8) {
		uint64_t x, y;

		memcpy(&x, a->bytes, 8);
		memcpy(&y, b->bytes, 8);
		return x < y ? -1 : x > y;
	}
	order = memcmp(a->bytes, b->bytes, n);
	return order ? order : a->n < b->n ? -1 : a->n > b->n;
}

/* Nodes lie between upper and the page's end without overlap, and fill that exactly; the list of where they are lies below. */
static bool check_layout(struct walk *w, uint64_t number, const struct page *page, bool leaf)
{
	struct check *c = w->check;

	if (page->number != number)
		tell(c, "%s: page %" PRIu64 " says that it is page %" PRIu64, w->name, number, page->number);
	else if (page->flags != (leaf ? P_LEAF : P_BRANCH))
		tell(c, "%s: page %" PRIu64 " is of the wrong kind (%u)", w->name, number, page->flags);
	else if (page->lower < PAGE_HEADER || page->lower % 2 || page->upper < page->lower || page->upper > c->page_size)
		tell(c, "%s: page %" PRIu64 " has impossible bounds", w->name, number);
	else
		return true;
	return false;
}

struct found { struct node node; const uint8_t *at; size_t size; };   /* size: on the page, rounded up */

static bool find_node(struct walk *w, uint64_t number, const struct page *page, unsigned i, struct found *ret_found)
{
	struct check *c = w->check;
	const uint8_t *base = c->file + number * c->page_size;
	bool leaf = page->flags == P_LEAF;
	uint16_t offset;
	size_t size;

	memcpy(&offset, base + PAGE_HEADER + 2 * (size_t)i, sizeof offset);
	if (offset < page->upper || offset % 2 || (size_t)offset + NODE_HEADER > c->page_size) {
		tell(c, "%s: page %" PRIu64 ": entry %u lies outside of it", w->name, number, i);
		return false;
	}
	memcpy(&ret_found->node, base + offset, sizeof ret_found->node);
	ret_found->at = base + offset + NODE_HEADER;
	size = NODE_HEADER + (size_t)ret_found->node.key_n;
	if (leaf)
		size += ret_found->node.flags & N_BIG ? sizeof(uint64_t) : (size_t)ret_found->node.lo | (size_t)ret_found->node.hi << 16;
	if (ret_found->node.key_n > KEY_MAX || size > c->page_size - offset) {
		tell(c, "%s: page %" PRIu64 ": entry %u is longer than its page", w->name, number, i);
		return false;
	}
	ret_found->size = size + size % 2;
	return true;
}

/* --- trees ------------------------------------------------------------------------------------------------------------------ */

static void check_tree(struct check *c, const char *name, const struct tree_head *head, bool integer, bool tables);

static void check_big(struct walk *w, uint64_t number, const struct found *found)
{
	size_t size = (size_t)found->node.lo | (size_t)found->node.hi << 16;
	uint64_t first, n = (PAGE_HEADER + size + w->check->page_size - 1) / w->check->page_size;
	struct page page;
	uint32_t pages;

	memcpy(&first, found->at + found->node.key_n, sizeof first);
	if (!claim(w, first, n))
		return;
	(void)page_at(w->check, first, &page);
	memcpy(&pages, &page.lower, sizeof pages);
	if (page.number != first || page.flags != P_OVERFLOW || pages != n)
		tell(w->check, "%s: page %" PRIu64 ": a large value lies in pages from %" PRIu64 " that are not its own", w->name, number, first);
	w->counted.overflow += n;
}

/* The free list: numbers of pages, greatest first, behind their count. */
static void check_free(struct walk *w, uint64_t number, const struct found *found)
{
	struct check *c = w->check;
	const uint8_t *at = found->at + found->node.key_n;
	size_t size = (size_t)found->node.lo | (size_t)found->node.hi << 16;
	uint64_t n, free_page, key;

	if (found->node.flags & N_BIG) {
		memcpy(&free_page, at, sizeof free_page);
		if (free_page > c->last_page)
			return; /* told already */
		at = c->file + free_page * c->page_size + PAGE_HEADER;
	}
	memcpy(&key, found->at, sizeof key);
	memcpy(&n, at, sizeof n);
	if (found->node.key_n != 8 || key > c->txn || size < 8 || n > size / 8 - 1) {
		tell(c, "free list: page %" PRIu64 ": an entry of the wrong form", number);
		return;
	}
	for (uint64_t i = 1; i <= n; i++) {
		memcpy(&free_page, at + 8 * i, sizeof free_page);
		if (free_page < 2 || free_page > c->last_page || c->seen[free_page]) {
			tell(c, "free list: page %" PRIu64 " is %s", free_page, free_page < 2 || free_page > c->last_page ? "outside the file" : "free twice, or in use");
			continue;
		}
		c->seen[free_page] = 2;
		c->result.free_pages++;
	}
}

static bool known(const struct check *c, const char *name)
{
	size_t i = 0;

	while (c->names && c->names[i] && strcmp(c->names[i], name) != 0)
		i++;
	return !c->names || c->names[i];
}

static void check_table(struct walk *w, uint64_t number, const struct found *found)
{
	size_t size = (size_t)found->node.lo | (size_t)found->node.hi << 16;
	struct tree_head head;
	char name[64];

	if (size != sizeof head || found->node.key_n >= sizeof name) {
		tell(w->check, "%s: page %" PRIu64 ": a table of the wrong form", w->name, number);
		return;
	}
	memcpy(&head, found->at + found->node.key_n, sizeof head);
	memcpy(name, found->at, found->node.key_n);
	name[found->node.key_n] = 0;
	if (!known(w->check, name))
		tell(w->check, "%s: page %" PRIu64 ": there is no table of the name %s", w->name, number, name);
	check_tree(w->check, name, &head, false, false);
}

static void check_value(struct walk *w, uint64_t number, const struct found *found)
{
	unsigned flags = found->node.flags;

	if (flags != 0 && flags != N_BIG && !(w->tables && flags == N_TABLE)) {
		tell(w->check, "%s: page %" PRIu64 ": an entry of an unknown kind (%u)", w->name, number, flags);
		return;
	}
	w->counted.entries++;
	if (flags & N_BIG)
		check_big(w, number, found);
	if (w->tables && !(flags & N_TABLE))
		tell(w->check, "%s: page %" PRIu64 ": an entry that is no table", w->name, number);
	else if (flags & N_TABLE)
		check_table(w, number, found);
	else if (!w->integer)
		w->check->result.pairs++;
}

static void check_order(struct walk *w, uint64_t number, const struct found *found)
{
	struct key key = { found->at, found->node.key_n };

	if (key.n == 0 || (w->integer && key.n != 8) || (w->any && compare_keys(w, &w->last, &key) >= 0))
		tell(w->check, "%s: page %" PRIu64 ": keys are not in order", w->name, number);
	w->last = key;
	w->any = true;
}

/* The key of a branch stands between what is below it and what came before. */
static void check_separator(struct walk *w, uint64_t number, unsigned i, const struct found *found)
{
	struct key key = { found->at, found->node.key_n };

	if (i > 0 && (key.n == 0 || (w->any && compare_keys(w, &w->last, &key) >= 0)))
		tell(w->check, "%s: page %" PRIu64 ": keys are not in order", w->name, number);
}

static void check_page(struct walk *w, uint64_t number, unsigned depth, const struct key *least)
{
	struct check *c = w->check;
	bool leaf = depth == w->head->depth;
	struct page page;
	struct found found;
	size_t used = 0;
	unsigned n;

	if (!claim(w, number, 1) || depth > DEPTH_MAX)
		return;
	(void)page_at(c, number, &page);
	if (!check_layout(w, number, &page, leaf))
		return;
	w->counted.leaf += leaf;
	w->counted.branch += !leaf;
	n = (unsigned)(page.lower - PAGE_HEADER) / 2;
	if (n < (leaf ? 1u : 2u))
		tell(c, "%s: page %" PRIu64 " holds too little", w->name, number);
	for (unsigned i = 0; i < n && c->faults < DB_CHECK_FAULTS_MAX && find_node(w, number, &page, i, &found); i++) {
		struct key key = { found.at, found.node.key_n };

		used += found.size;
		if (leaf) {
			if (i == 0 && least && compare_keys(w, &key, least) < 0)
				tell(c, "%s: page %" PRIu64 ": its first key is less than its place allows", w->name, number);
			check_order(w, number, &found);
			check_value(w, number, &found);
		} else {
			check_separator(w, number, i, &found);
			check_page(w, (uint64_t)found.node.lo | (uint64_t)found.node.hi << 16 | (uint64_t)found.node.flags << 32, depth + 1, i ? &key : least);
		}
	}
	if (used != c->page_size - page.upper)
		tell(c, "%s: page %" PRIu64 ": its entries do not fill it as it says", w->name, number);
}

/* Second round of the free list, when all that is used is known. */
static void collect_free(struct walk *w, uint64_t number, unsigned depth)
{
	struct page page;
	struct found found;

	if (number < 2 || number > w->check->last_page || depth > w->head->depth)
		return; /* told in the first round; so below */
	(void)page_at(w->check, number, &page);
	for (unsigned i = 0; i < (unsigned)(page.lower - PAGE_HEADER) / 2 && find_node(w, number, &page, i, &found); i++) {
		if (page.flags == P_LEAF)
			check_free(w, number, &found);
		else
			collect_free(w, (uint64_t)found.node.lo | (uint64_t)found.node.hi << 16 | (uint64_t)found.node.flags << 32, depth + 1);
	}
}

static void check_tree(struct check *c, const char *name, const struct tree_head *head, bool integer, bool tables)
{
	struct walk w = { .check = c, .name = name, .head = head, .integer = integer, .tables = tables };

	if (head->flags != (integer ? DB_INTEGERKEY : 0) || head->depth > DEPTH_MAX || (head->root == NONE) != (head->depth == 0)) {
		tell(c, "%s: is described in an impossible way", name);
		return;
	}
	if (head->root != NONE)
		check_page(&w, head->root, 1, NULL);
	if (w.counted.branch != head->branch || w.counted.leaf != head->leaf || w.counted.overflow != head->overflow || w.counted.entries != head->entries)
		tell(c, "%s: has %" PRIu64 " entries in %" PRIu64 " pages, and says %" PRIu64 " in %" PRIu64, name, w.counted.entries, w.counted.branch + w.counted.leaf + w.counted.overflow,
		     head->entries, head->branch + head->leaf + head->overflow);
}

/* --- the file ----------------------------------------------------------------------------------------------------------------- */

static bool read_meta(struct check *c, unsigned number, size_t page_size, struct meta *ret_meta)
{
	const uint8_t *at = c->file + number * page_size;
	struct page page;

	memcpy(&page, at, sizeof page);
	memcpy(ret_meta, at + PAGE_HEADER, sizeof *ret_meta);
	if (page.number == number && page.flags == P_META && ret_meta->magic == MAGIC && ret_meta->version == VERSION && ret_meta->trees[0].pad == page_size)
		return true;
	tell(c, "meta page %u: is none", number);
	return false;
}

/* Transactions are written to the two pages in turn: the one with the greater number counts, and the other is the one before it. */
static bool choose_meta(struct check *c, struct meta *ret_meta)
{
	struct meta metas[2];
	uint32_t page_size = 0;
	unsigned newest;

	if (c->size >= PAGE_HEADER + sizeof metas[0])
		memcpy(&page_size, c->file + PAGE_HEADER + offsetof(struct meta, trees), sizeof page_size);
	if (page_size < 512 || page_size > 65536 || (page_size & (page_size - 1)) || c->size < 2 * (size_t)page_size) {
		tell(c, "meta page 0: is none");
		return false;
	}
	if (!read_meta(c, 0, page_size, &metas[0]) || !read_meta(c, 1, page_size, &metas[1]))
		return false;
	newest = metas[1].txn > metas[0].txn;
	if ((metas[newest].txn & 1) != newest || (metas[newest].txn != metas[!newest].txn + 1 && metas[newest].txn != 0)) {
		tell(c, "meta pages: the transactions %" PRIu64 " and %" PRIu64 " do not follow each other", metas[0].txn, metas[1].txn);
		return false;
	}
	*ret_meta = metas[newest];
	c->page_size = page_size;
	c->last_page = ret_meta->last_page;
	c->txn = ret_meta->txn;
	if (c->last_page >= 1 && c->last_page < UINT64_C(1) << 40)
		return true;
	tell(c, "meta page %u: says that the last page is %" PRIu64, newest, c->last_page);
	return false;
}

static int check_file(struct check *c)
{
	struct walk free_list = { .check = c, .name = "free list", .integer = true };
	struct meta meta;
	uint64_t lost = 0;

	if (!choose_meta(c, &meta))
		return OK;
	c->seen = calloc(1, c->last_page + 1);
	if (!c->seen)
		return ERR_NOMEM;
	meta.trees[0].flags &= (uint16_t)~ENV_NOSUBDIR; /* of how the file was opened when it was made */
	check_tree(c, "free list", &meta.trees[0], true, false);
	check_tree(c, "tables", &meta.trees[1], false, true);
	if (c->faults)
		return OK;
	free_list.head = &meta.trees[0];
	if (meta.trees[0].root != NONE)
		collect_free(&free_list, meta.trees[0].root, 1);
	for (uint64_t i = 2; i <= c->last_page; i++)
		lost += !c->seen[i];
	if (lost)
		tell(c, "%" PRIu64 " pages are neither in use nor free", lost);
	return OK;
}

static int open_file(const char *dir, struct check *c, struct err *err)
{
	char path[4200];
	struct stat st;
	void *map;
	int fd;

	if (snprintf(path, sizeof path, "%s/" DB_FILE, dir) >= (int)sizeof path)
		return err_set(err, ERR_INVALID, "the path of the store is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "%s cannot be read", path);
	if (fstat(fd, &st) || st.st_size <= 0) {
		(void)close(fd); /* only read */
		return err_set(err, ERR_CORRUPT, "%s is empty, or cannot be read", path);
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd); /* the map stays */
	if (map == MAP_FAILED)
		return err_errno(err, ERR_NOMEM, "%s cannot be mapped", path);
	c->file = map;
	c->size = (size_t)st.st_size;
	return OK;
}

static int check_locked(const char *dir, struct check *c, struct err *err)
{
	int error = open_file(dir, c, err);

	if (error)
		return error;
	error = check_file(c);
	free(c->seen);
	(void)munmap((void *)(uintptr_t)c->file, c->size); /* only read */
	return error ? err_set(err, error, "out of memory") : OK;
}

int db_check_folder(const char *dir, const char *const *tables, db_check_fault *fault, void *context, struct db_check *ret_check, struct err *err)
{
	struct check c = { .names = tables, .fault = fault, .context = context };
	struct db_folder folder;
	int error = db_folder_open(&folder, dir, true, err);

	*ret_check = (struct db_check){ 0 };
	if (!error)
		error = check_locked(dir, &c, err);
	*ret_check = c.result;
	db_folder_release(&folder);
	return error;
}
