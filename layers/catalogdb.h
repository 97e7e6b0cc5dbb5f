/* SPDX-License-Identifier: MIT
 *
 * The database beneath the catalog: queries over the statements of catalogsql.h, lists of what they
 * find, and changes of several rows. For the files that make rows of it (catalog.c and
 * catalogvolumes.c) and nobody else. Opening and transactions are declared in catalog.h.
 *
 * A query gives its values in the order of the statement's parameters and takes its columns in
 * their order; the first failure stays in it and is told by the next step, so a caller looks once.
 * No statement may be left stepped when a function of the catalog returns, or when it calls back:
 * cleanup_query sees to that.
 */
#ifndef PLYFS_CATALOGDB_H
#define PLYFS_CATALOGDB_H

#include "catalog.h"
#include "catalogsql.h"
#include "own.h"

#include <stdbool.h>
#include <stdint.h>

struct sqlite3_stmt;

struct query {
    struct catalog *catalog;
    struct sqlite3_stmt *statement;
    int next; /* the parameter to give or the column to take next */
    int err;  /* the first failure */
};

struct query query_ask(struct catalog *catalog, enum statement which);
void query_finish(struct query *query);
#define cleanup_query cleanup(query_finish)

/* Borrowed until the query is finished; NULL is SQL's NULL. */
void query_give_text(struct query *query, const char *text);
void query_give_number(struct query *query, int64_t number);
/* 1: a row can be taken; 0: there are no more. */
must_check int query_step(struct query *query);
/* The caller's; NULL for SQL's NULL, and when out of memory, which query.err tells. */
char *query_take_text(struct query *query);
int64_t query_take_number(struct query *query);

/* A statement that needs no values, or a change of one row, of which it says which it is: -ENOENT
 * when there is no such row. */
must_check int query_run(struct catalog *catalog, enum statement which);
must_check int query_change_one(struct query *query);
must_check int query_change_by_id(struct catalog *catalog, enum statement which, const char *id);
/* Whether the statement that was just stepped to its end changed a row. */
bool query_changed(const struct query *query);

/* The error of a row that is written, where what it refers to is not there. */
static inline int query_referred(int err)
{
    return err == -EBUSY ? -ENOENT : err;
}

/* Strings that a query found, so that its statement is at rest when a caller's function is called.
 */
struct textlist {
    char **at;
    unsigned count;
};
void textlist_finish(char **list, unsigned count);
static inline void own_textlist(struct textlist *list)
{
    textlist_finish(list->at, list->count);
}
#define cleanup_textlist cleanup(own_textlist)

/* The first column of all rows; `id` is the statement's parameter, if it has one. What was read
 * before a failure is the caller's as well. */
must_check int query_take_list(struct catalog *catalog, enum statement which, const char *id,
                               char ***list, unsigned *count);

/* A change of several rows: a transaction of its own, or a part of the caller's. */
must_check int catalogdb_change_begin(struct catalog *catalog, bool *own);
must_check int catalogdb_change_end(struct catalog *catalog, bool own, int err);

#endif
