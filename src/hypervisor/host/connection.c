/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/host/hv_internal.h"
#include "hypervisor/host/patience.h"
#include "hypervisor/host/image_memory.h"
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

/* libvirt prints every error to stderr unless told otherwise; ours carry its text to where it is printed once. */
static void swallow_error(void *priv, virErrorPtr error)
{
    (void)priv, (void)error;
}

/* $name, else ~/fallback. NULL: out of memory or no home. */
static char *user_dir(const char *name, const char *fallback)
{
    const char *dir = secure_getenv(name);

    if (dir && dir[0] == '/')
        return strdup(dir);
    const char *home = secure_getenv("HOME");
    return home && home[0] == '/' ? io_path(home, fallback) : NULL;
}

/* Folder `name` of libvirt's qemu driver, for what lasts (qemu_conf.c of libvirt). NULL: not known. */
static char *state_dir(const struct hv *hv, const char *name)
{
    if (!hv->local)
        return NULL;
    if (hv->root)
        return str_format("%s/lib/qemu/%s", hv->root, name);
    if (!hv->session)
        return str_format("/var/lib/libvirt/qemu/%s", name);
    _cleanup_free_ char *config = user_dir("XDG_CONFIG_HOME", ".config");
    return config ? str_format("%s/libvirt/qemu/%s", config, name) : NULL;
}

char *hv_lib_dir(const struct hv *hv)
{
    _cleanup_free_ char *dir = state_dir(hv, hv->session && !hv->root ? "lib" : "");

    for (size_t n = dir ? strlen(dir) : 0; n > 1 && dir[n - 1] == '/'; n--)
        dir[n - 1] = '\0';
    return TAKE_PTR(dir);
}

int hv_tpm_dir(const struct hv *hv, const char *uuid, char **ret, struct err *err)
{
    _cleanup_free_ char *config = hv->session ? user_dir("XDG_CONFIG_HOME", ".config") : NULL;
    char *path = NULL;

    if (!hv->local)
        return err_set(err, EOPNOTSUPP, "the TPMs at %s are on another host", hv->uri);
    if (hv->root)
        path = str_format("%s/lib/swtpm/%s", hv->root, uuid);
    else if (!hv->session)
        path = str_format("/var/lib/libvirt/swtpm/%s", uuid);
    else if (config)
        path = str_format("%s/libvirt/qemu/swtpm/%s", config, uuid);
    else
        return err_set(err, ENOENT, "cannot determine where libvirt keeps TPMs: HOME is not set");
    if (!path)
        return err_nomem(err);
    *ret = path;
    return 0;
}

static int connect_to(struct hv *hv, const char *uri, struct err *err)
{
    hv->conn = virConnectOpen(uri);
    if (!hv->conn) {
        int r = hv_virt_error(err, "cannot connect to libvirt at %s", uri ? uri : "its default URI");
        /* A missing socket is "no such file" to libvirt; to our callers -ENOENT is "no such VM". */
        if (err)
            err->code = r == -EACCES ? EACCES : ECONNREFUSED;
        return r == -EACCES ? r : -ECONNREFUSED;
    }
    hv->uri = virConnectGetURI(hv->conn);
    if (!hv->uri)
        return hv_virt_error(err, "cannot determine libvirt's URI");
    const char *type = virConnectGetType(hv->conn);
    if (!type || strcmp(type, "QEMU") != 0)
        return err_set(err, EOPNOTSUPP, "%s is a connection to %s: kvss only backs up QEMU VMs", hv->uri,
                       type ? type : "something unknown");
    return 0;
}

static int learn_kind(struct hv *hv, const struct hv_config *config, struct err *err)
{
    struct uri_kind kind;

    int r = hv_uri_kind(hv->uri, &kind, err);
    if (r < 0)
        return r;
    hv->local = kind.local;
    hv->session = kind.session || (kind.root && geteuid() != 0);
    hv->root = kind.root;
    hv->nvram_dir = state_dir(hv, "nvram");
    hv->save_dir = config->save_dir ? strdup(config->save_dir) : state_dir(hv, "save");
    hv->state_dir = config->state_dir ? strdup(config->state_dir) : NULL;
    return config->save_dir && !hv->save_dir ? err_nomem(err) : 0;
}

static int start_libvirt(struct hv *hv, const char *uri, struct err *err)
{
    bool embed = uri && strncmp(uri, "qemu:///embed", 13) == 0;

    /* With libvirt's daemon inside of this process its log would go to our stderr; the variable is the only way to say no. */
    if (embed)
        setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
    if (virInitialize() < 0)
        return hv_virt_error(err, "cannot initialise libvirt");
    virSetErrorFunc(NULL, swallow_error);
    return embed ? hv_loop_start(&hv->loop, err) : 0;
}

DEFINE_CLEANUP(struct hv *, hv_close)

int hv_open(const struct hv_config *config, struct hv **ret, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = calloc(1, sizeof *hv);
    const char *uri = config->uri && config->uri[0] ? config->uri : secure_getenv("LIBVIRT_DEFAULT_URI");

    if (!hv)
        return err_nomem(err);
    pthread_mutex_init(&hv->lock, NULL);
    hv->log = config->log;
    hv->answer_ms = HV_ANSWER_MS;
    hv->cancel = config->cancel;
    int r = start_libvirt(hv, uri, err);
    if (r == 0)
        r = connect_to(hv, uri, err);
    if (r == 0)
        r = learn_kind(hv, config, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(hv);
    return 0;
}

int hv_reconnect(struct hv *hv, struct err *err)
{
    SCOPED_LOCK(&hv->lock);
    if (virConnectIsAlive(hv->conn) == 1)
        return 0;
    if (hv->n_lost == LOST_MAX)
        return err_set(err, ECONNREFUSED, "the connection to libvirt at %s broke repeatedly", hv->uri);
    virConnectPtr conn = virConnectOpen(hv->uri);
    if (!conn)
        return hv_virt_error(err, "cannot reconnect to libvirt at %s", hv->uri);
    log_warning(hv->log, "the connection to libvirt broke and was re-established");
    hv->lost[hv->n_lost++] = hv->conn;
    __atomic_store_n(&hv->conn, conn, __ATOMIC_SEQ_CST);
    return 0;
}

static void network_failures_free(struct hv *hv)
{
    for (struct network_failure *f = hv->network_failures, *next; f; f = next) {
        next = f->next;
        free(f->node);
        free(f->text);
        free(f);
    }
    hv->network_failures = NULL;
}

void hv_close(struct hv *hv)
{
    if (!hv)
        return;
    patience_close(hv);
    hv_pool_close(hv);
    network_failures_free(hv);
    image_memory_free(hv);
    for (unsigned i = 0; i < hv->n_lost; i++)
        virConnectClose(hv->lost[i]);
    if (hv->conn)
        virConnectClose(hv->conn);
    hv_loop_stop(hv->loop);
    pthread_mutex_destroy(&hv->lock);
    free(hv->uri);
    free(hv->root);
    free(hv->save_dir);
    free(hv->state_dir);
    free(hv->nvram_dir);
    free(hv);
}

unsigned hv_set_answer_limit(struct hv *hv, unsigned ms)
{
    unsigned before = hv->answer_ms;

    hv->answer_ms = ms;
    return before;
}

const char *hv_uri(const struct hv *hv)
{
    return hv->uri;
}

const char *hv_save_dir(const struct hv *hv)
{
    return hv->save_dir;
}

const char *hv_nvram_dir(const struct hv *hv)
{
    return hv->nvram_dir;
}

bool hv_is_local(const struct hv *hv)
{
    return hv->local;
}

/* "+64055:+64055" */
static bool parse_label(const char *label, uid_t *ret_uid, gid_t *ret_gid)
{
    char user[16], group[16];
    uint64_t u, g;

    if (sscanf(label, "+%15[0-9]:+%15[0-9]", user, group) != 2)
        return false;
    if (num_parse_u64(user, 0, UINT32_MAX - 1, &u, NULL) < 0 || num_parse_u64(group, 0, UINT32_MAX - 1, &g, NULL) < 0)
        return false;
    *ret_uid = (uid_t)u;
    *ret_gid = (gid_t)g;
    return true;
}

static void find_qemu_ids(struct hv *hv)
{
    hv->qemu_uid = geteuid();
    hv->qemu_gid = getegid();
    hv->ids_known = true;
    if (hv->session)
        return;
    _cleanup_free_ char *caps = virConnectGetCapabilities(hv->conn);
    _cleanup_xml_ xmlDocPtr doc = NULL;
    if (!caps || xml_parse(caps, strlen(caps), "libvirt's capabilities", &doc, NULL) < 0)
        return;
    _cleanup_free_ char *label = xml_get(xmlDocGetRootElement(doc), "host/secmodel[model='dac']/baselabel[@type='kvm' or @type='qemu'][1]");
    if (!label || !parse_label(label, &hv->qemu_uid, &hv->qemu_gid))
        log_debug(hv->log, "libvirt does not report which user QEMU runs as: assuming the current user");
}

void hv_qemu_ids(const struct hv *hv, uid_t *ret_uid, gid_t *ret_gid)
{
    struct hv *h = (struct hv *)(uintptr_t)hv; /* the answer is kept: the object as seen from outside does not change */

    SCOPED_LOCK(&h->lock);
    if (!h->ids_known)
        find_qemu_ids(h);
    *ret_uid = h->qemu_uid;
    *ret_gid = h->qemu_gid;
}

/* Target path of the pool "default"; NULL: there is none. */
static char *default_pool_dir(struct hv *hv)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(hv->conn, "default");

    if (!pool)
        return NULL;
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, 0);
    virStoragePoolFree(pool);
    _cleanup_xml_ xmlDocPtr doc = NULL;
    if (!xml || xml_parse(xml, strlen(xml), "the definition of the storage pool default", &doc, NULL) < 0)
        return NULL;
    _cleanup_free_ char *path = xml_get(xmlDocGetRootElement(doc), "target/path");
    return path && path[0] == '/' ? TAKE_PTR(path) : NULL;
}

int hv_default_image_dir(struct hv *hv, char **ret, struct err *err)
{
    char *dir = default_pool_dir(hv);

    if (!dir && hv->root) {
        dir = io_path(hv->root, "lib/images");
    } else if (!dir && hv->session) {
        _cleanup_free_ char *data = user_dir("XDG_DATA_HOME", ".local/share");
        dir = data ? io_path(data, "libvirt/images") : NULL;
    } else if (!dir) {
        dir = strdup("/var/lib/libvirt/images");
    }
    if (!dir)
        return err_set(err, ENOENT, "cannot determine the default folder of VM images: HOME is not set");
    *ret = dir;
    return 0;
}
