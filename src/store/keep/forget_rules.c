/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which points a policy keeps. Each VM is looked at by itself: a point stays as long as one of its VMs wants it. */
#include "base/cleanup.h"
#include "base/strv.h"
#include "store/store.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

enum { LAST, HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY, RULES };

/* Numbers the period that a time falls into: points with the same number are of the same hour, day ... */
static int64_t period(unsigned rule, int64_t time_us)
{
    time_t t = (time_t)(time_us / 1000000);
    struct tm tm;
    char week[16];

    localtime_r(&t, &tm);
    int64_t day = (tm.tm_year + 1900LL) * 1000 + tm.tm_yday;
    switch (rule) {
    case HOURLY: return day * 100 + tm.tm_hour;
    case DAILY: return day;
    case WEEKLY: /* ISO 8601: the year of the week's Thursday, and its number */
        strftime(week, sizeof week, "%G%V", &tm);
        return atoll(week);
    case MONTHLY: return (tm.tm_year + 1900LL) * 100 + tm.tm_mon;
    case YEARLY: return tm.tm_year;
    default: return time_us; /* LAST: every point is its own */
    }
}

static bool rules_has_group(const struct store_policy_item *item, const char *group)
{
    for (const char *const *g = item->groups; g && *g; g++)
        if (strcmp(*g, group) == 0)
            return true;
    return false;
}

/* Goes through the points of one group, newest first, by one rule. */
static void apply_rule(unsigned rule, unsigned count, struct store_policy_item **newest_first, size_t n, const char *group)
{
    static const char *const names[RULES] = { "last", "hourly", "daily", "weekly", "monthly", "yearly" };
    int64_t seen = INT64_MIN;

    for (size_t i = 0, kept = 0; i < n && kept < count; i++) {
        struct store_policy_item *item = newest_first[i];
        int64_t now = period(rule, item->time_us);
        if (!rules_has_group(item, group) || (rule != LAST && now == seen))
            continue;
        seen = now;
        kept++;
        if (!item->keep)
            item->why = names[rule];
        item->keep = true;
    }
}

static int newer(const void *a, const void *b)
{
    const struct store_policy_item *x = *(struct store_policy_item *const *)a, *y = *(struct store_policy_item *const *)b;

    return x->time_us > y->time_us ? -1 : x->time_us < y->time_us;
}

static int made_later(const void *a, const void *b)
{
    const struct store_policy_item *x = *(struct store_policy_item *const *)a, *y = *(struct store_policy_item *const *)b;
    int64_t p = x->made_us ? x->made_us : x->time_us, q = y->made_us ? y->made_us : y->time_us;

    return p > q ? -1 : p < q;
}

static int all_groups(const struct store_policy_item *items, size_t n, char ***ret)
{
    _cleanup_strv_ char **groups = NULL;

    for (size_t i = 0; i < n; i++)
        for (const char *const *g = items[i].groups; g && *g; g++)
            if (!strv_has(groups, *g) && strv_add(&groups, *g) < 0)
                return -ENOMEM;
    *ret = TAKE_PTR(groups);
    return 0;
}

int store_policy_apply(const struct store_policy *policy, struct store_policy_item *items, size_t n, struct err *err)
{
    const unsigned counts[RULES] = { policy->last, policy->hourly, policy->daily, policy->weekly, policy->monthly, policy->yearly };
    _cleanup_free_ struct store_policy_item **order = calloc(n + 1, sizeof *order);
    _cleanup_strv_ char **groups = NULL;

    if (!order || all_groups(items, n, &groups) < 0)
        return err_nomem(err);
    size_t counted = 0;
    for (size_t i = 0; i < n; i++) {
        bool none = !items[i].groups || !items[i].groups[0];
        bool ahead = policy->now_us && store_is_ahead(items[i].time_us, policy->now_us);
        items[i].keep = none || ahead;
        items[i].why = none ? "contains no VM" : ahead ? "in the future" : NULL;
        if (!items[i].keep)
            order[counted++] = &items[i];
    }
    for (unsigned rule = 0; rule < RULES; rule++) {
        qsort(order, counted, sizeof *order, rule == LAST ? made_later : newer);
        for (char **g = groups; g && *g; g++)
            apply_rule(rule, counts[rule], order, counted, *g);
    }
    return 0;
}
