/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers: what goes to the host, and from the session to a command. */
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <string.h>

json_t *guest_error_answer(const struct err *why)
{
    return json_pack("{s:i, s:{s:i, s:I, s:o}}", "protocol", GUEST_PROTOCOL, "error", "code", why->code, "hresult",
                     (json_int_t)why->hresult, "text", json_text(why->text));
}

int guest_answer_error(const json_t *answer, struct err *err)
{
    const json_t *e = json_object_get(answer, "error");
    const char *text = json_get_text(e, "text");

    if (!json_is_object(e))
        return 0;
    int code = (int)json_get_u64(e, "code");
    return err_vss(err, (uint32_t)json_get_u64(e, "hresult"), code > 0 ? code : EIO, "%s", text ? text : "no reason given");
}

int guest_read_all(int fd, size_t max, struct buf *ret, struct err *err)
{
    char piece[16384];

    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "cannot read");
        if (n == 0)
            return 0;
        if ((size_t)n > max - ret->len)
            return err_set(err, EFBIG, "longer than %zu bytes", max);
        if (buf_add(ret, piece, (size_t)n) < 0)
            return err_nomem(err);
    }
}

int guest_read_answer(int fd, json_t **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_json_ json_t *answer = NULL;

    int r = guest_read_all(fd, GUEST_OUT_MAX, &b, err);
    if (r == -EAGAIN) /* the limit of a socket */
        return err_set(err, ETIMEDOUT, "the session did not answer in time");
    if (r >= 0 && !b.len)
        r = err_set(err, EPIPE, "the session ended without an answer");
    if (r >= 0)
        r = json_parse_object((const char *)b.data, b.len, "answer of the session", &answer, err);
    if (r >= 0)
        r = guest_answer_error(answer, err);
    if (r >= 0)
        *ret = TAKE_PTR(answer);
    return r;
}

int guest_write_answer(int fd, const json_t *answer)
{
    _cleanup_free_ char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    int r = text ? io_write(fd, text, strlen(text)) : -ENOMEM;

    return r < 0 ? r : io_write(fd, "\n", 1);
}
