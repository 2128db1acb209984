/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two documents (behaviour 7): as they are on disk (tests/golden/vss), there and back, and what is not one of them. */
#include "vss/components.h"
#include "vss/metadata.h"
#include "vss/vss_text.h"
#include "vss_world.h"

#define SET_ID "0f0e0d0c-0b0a-4908-8706-050403020100"

static char *golden_path(const char *name)
{
    return str_format("%s/vss/%s.xml", KVSS_GOLDEN_DIR, name);
}

static char *golden_read(const char *name)
{
    _cleanup_free_ char *path = golden_path(name);
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_ok(io_read_file(path, 1 << 20, &b, &err));
    return buf_take_str(&b);
}

/* With KVSS_UPDATE_GOLDEN set the file is made so. */
static void golden_check(const char *name, const char *text)
{
    struct err err = ERR_INIT;

    if (getenv("KVSS_UPDATE_GOLDEN")) {
        _cleanup_free_ char *path = golden_path(name);
        assert_ok(io_replace_file(path, text, strlen(text), 0644, &err));
    }
    _cleanup_free_ char *wanted = golden_read(name);
    assert_string_equal(text, wanted);
}

/* ---- Writer metadata ------------------------------------------------------------------------------------------------------*/

static struct kvss_metadata *example_metadata(void)
{
    struct kvss_metadata *md = NULL;
    struct err err = ERR_INIT;
    static const struct kvss_md_component vm = {
        .type = VSS_CT_FILEGROUP,
        .name = "4c4c4544-0000-4000-8000-000000000001",
        .logical_path = "VMs\\prod",
        .caption = "Backup Using Child Partition Snapshot\\\"web\" <01> & co\n\tGr\xc3\xbc\xc3\x9f"
                   "e",
        .restore_metadata = true,
        .notify_on_backup_complete = true,
        .selectable = true,
        .selectable_for_restore = true,
        .flags = VSS_CF_BACKUP_RECOVERY | VSS_CF_NOT_SYSTEM_STATE,
    };
    static const struct kvss_md_component db = { .type = VSS_CT_DATABASE, .name = "orders" };
    static const struct kvss_md_files files[] = {
        { .kind = KVSS_FILES_GROUP,
          .path = "/var/lib/libvirt/images",
          .filespec = "web01.qcow2",
          .backup_type_mask = VSS_FSBT_DEFAULT | VSS_FSBT_CREATED_DURING_BACKUP },
        { .kind = KVSS_FILES_GROUP, .path = "nbd://host:10809", .filespec = "disk?", .recursive = true, .alternate_path = "/alt" },
    };
    static const struct kvss_md_files data = { .kind = KVSS_FILES_DATABASE, .path = "/db", .filespec = "*.db" };
    static const struct kvss_md_files log = {
        .kind = KVSS_FILES_DATABASE_LOG, .path = "/db/log", .filespec = "*", .backup_type_mask = VSS_FSBT_LOG_BACKUP_REQUIRED
    };

    assert_ok(metadata_new("Microsoft Hyper-V VSS Writer", VM_WRITER_ID, DB_WRITER_ID, VSS_UT_SYSTEMSERVICE, VSS_ST_OTHER, &md, &err));
    assert_ok(kvss_md_set_restore_method(md, VSS_RME_STOP_RESTORE_START, "libvirtd.service", VSS_WRE_ALWAYS, true, &err));
    assert_ok(kvss_md_set_backup_schema(md, VSS_BS_INCREMENTAL | VSS_BS_COPY, &err));
    assert_ok(kvss_md_add_alternate_location(md, "/db", "*.db", false, "/db.old", &err));
    assert_ok(kvss_md_add_exclude(md, "/var/lib/libvirt/images", "*.tmp", true, &err));
    assert_ok(kvss_md_add_component(md, &vm, &err));
    assert_ok(kvss_md_add_files(md, vm.logical_path, vm.name, &files[0], &err));
    assert_ok(kvss_md_add_files(md, vm.logical_path, vm.name, &files[1], &err));
    assert_ok(kvss_md_add_dependency(md, vm.logical_path, vm.name, LOG_WRITER_ID, NULL, "audit", &err));
    assert_ok(kvss_md_add_component(md, &db, &err));
    assert_ok(kvss_md_add_files(md, NULL, "orders", &log, &err)); /* the order is kept */
    assert_ok(kvss_md_add_files(md, NULL, "orders", &data, &err));
    return md;
}

static void behaviour_07_writer_metadata_round_trip(void **state)
{
    _cleanup_metadata_ struct kvss_metadata *md = example_metadata();
    _cleanup_metadata_ struct kvss_metadata *loaded = NULL;
    _cleanup_free_ char *first = NULL, *second = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(metadata_format(md, &first, &err));
    golden_check("writer_metadata", first);
    assert_ok(metadata_parse(first, &loaded, &err));
    assert_ok(metadata_format(loaded, &second, &err));
    assert_string_equal(first, second);
    const struct vss_component_info *c = &loaded->info.components[0];
    assert_string_equal(c->caption, md->components[0].caption);
    assert_int_equal(c->n_files, 2);
    assert_int_equal(c->files[0].backup_type_mask, md->components[0].files[0].backup_type_mask);
    assert_string_equal(c->files[1].alternate_path, "/alt");
    assert_null(c->files[0].alternate_path);
    assert_int_equal(c->n_dependencies, 1);
    assert_string_equal(loaded->info.service, "libvirtd.service");
    assert_true(loaded->info.reboot);
    assert_int_equal(loaded->info.n_locations, 1);
}

/* ---- Backup components ----------------------------------------------------------------------------------------------------*/

static void fill_component(struct bc_document *doc, struct bc_component *c)
{
    struct err err = ERR_INIT;

    c->backup_succeeded = c->selected_for_restore = c->additional_restores = true;
    assert_ok(components_set_text(doc, &c->backup_options, "fast", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->restore_options, "", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->backup_stamp, "2026-11-22T21:13:05Z", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->previous_stamp, " a b ", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->backup_metadata, "{\"a\":\n\r\t\"<&'>\"}", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->restore_metadata, "off", TEXT_METADATA_MAX, "x", &err));
    c->failure = VSS_E_WRITERERROR_RETRYABLE;
    assert_ok(components_set_text(doc, &c->failure_text, "the agent hung", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->pre_restore_failure, "before", TEXT_METADATA_MAX, "x", &err));
    assert_ok(components_set_text(doc, &c->post_restore_failure, "after", TEXT_METADATA_MAX, "x", &err));
    c->restore_target = VSS_RT_DIRECTED;
    c->file_restore_status = VSS_RS_FAILED;
    assert_ok(components_add_mapping(doc, c, &(struct vss_alternate_location){ "/db", "*.db", "/db.old", false }, &err));
    assert_ok(components_add_subcomponent(doc, c, &(struct bc_subcomponent){ "VMs\\web01", "disk" }, &err));
    assert_ok(components_add_target(doc, c, &(struct kvss_new_target){ "/images", "web01.qcow2", true, "/new/web01" }, &err));
}

static struct bc_document *example_components(void)
{
    struct bc_document *doc = NULL;
    struct bc_writer *w = NULL;
    struct bc_component *c = NULL;
    struct err err = ERR_INIT;
    static const struct bc_snapshot s = {
        .id = NO_SUCH_ID,
        .volume = "/var/lib/libvirt",
        .provider_id = PROVIDER_ID,
        .attributes = 0x400002,
        .created_us = 1795381985123456,
    };

    assert_ok(components_new(&doc, &err));
    doc->bootable_state = true;
    doc->backup_type = VSS_BT_INCREMENTAL;
    doc->context = VSS_VOLSNAP_ATTR_NO_AUTORECOVERY;
    doc->set_id = pool_copy(&doc->strings, SET_ID);
    assert_ok(components_add_writer(doc, VM_WRITER_ID, DB_WRITER_ID, &w, &err));
    assert_ok(components_add(doc, w, VSS_CT_FILEGROUP, "VMs", "web01", &c, &err));
    fill_component(doc, c);
    assert_ok(components_add(doc, w, VSS_CT_DATABASE, NULL, "plain", &c, &err));
    assert_ok(components_add_writer(doc, LOG_WRITER_ID, LOG_WRITER_ID, &w, &err));
    w->backup_type = VSS_BT_FULL;
    assert_ok(components_add_snapshot(doc, &s, &err));
    return doc;
}

static void behaviour_07_backup_components_round_trip(void **state)
{
    _cleanup_components_ struct bc_document *doc = example_components();
    _cleanup_components_ struct bc_document *loaded = NULL;
    _cleanup_free_ char *first = NULL, *second = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(components_format(doc, &first, &err));
    golden_check("backup_components", first);
    assert_ok(components_parse(first, &loaded, &err));
    assert_ok(components_format(loaded, &second, &err));
    assert_string_equal(first, second);
    const struct bc_component *c = components_find(components_writer(loaded, VM_WRITER_ID), "VMs", "web01");
    assert_non_null(c);
    assert_string_equal(c->backup_metadata, "{\"a\":\n\r\t\"<&'>\"}");
    assert_string_equal(c->previous_stamp, " a b ");
    assert_string_equal(c->restore_options, "");
    assert_int_equal(c->failure, VSS_E_WRITERERROR_RETRYABLE);
    assert_int_equal(c->file_restore_status, VSS_RS_FAILED);
    assert_string_equal(c->targets[0].new_path, "/new/web01");
    c = components_find(components_writer(loaded, VM_WRITER_ID), "", "plain");
    assert_non_null(c);
    assert_null(c->backup_metadata);
    assert_int_equal(c->file_restore_status, VSS_RS_UNDEFINED);
    assert_int_equal(loaded->snapshots[0].created_us, 1795381985123456);
    assert_int_equal(loaded->context, VSS_VOLSNAP_ATTR_NO_AUTORECOVERY);
}

static void behaviour_07_documents_of_a_session_round_trip(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    _cleanup_(documents_free) struct documents d = documents_of_backup(w);
    struct vss_session *v = session_restore(w, &d);
    char *bcd = NULL, *vm = NULL, *db = NULL;

    assert_ok(vss_stored_components_xml(v, &bcd, &err));
    assert_ok(vss_stored_metadata_xml(v, 0, &vm, &err));
    assert_ok(vss_stored_metadata_xml(v, 1, &db, &err));
    assert_fails(ENOENT, vss_stored_metadata_xml(v, 2, &db, &err));
    assert_string_equal(bcd, d.components);
    assert_string_equal(vm, d.vm);
    assert_string_equal(db, d.db);
    free(bcd);
    free(vm);
    free(db);
    vss_session_release(v);
}

/* ---- What is no such document ---------------------------------------------------------------------------------------------*/

typedef int parse_fn(const char *xml, struct err *err);

static int parse_metadata(const char *xml, struct err *err)
{
    _cleanup_metadata_ struct kvss_metadata *md = NULL;

    return metadata_parse(xml, &md, err);
}

static int parse_components(const char *xml, struct err *err)
{
    _cleanup_components_ struct bc_document *doc = NULL;

    return components_parse(xml, &doc, err);
}

/* The golden document with `from` replaced once by `to`. Caller frees. */
static char *spoil(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    if (!at)
        fail_msg("'%s' is not in the document", from);
    return str_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

struct spoiled {
    const char *from, *to;
    uint32_t hresult;
};

static void assert_refused(const char *golden, parse_fn *parse, const struct spoiled *s)
{
    _cleanup_free_ char *good = golden_read(golden);
    _cleanup_free_ char *bad = spoil(good, s->from, s->to);
    struct err err = ERR_INIT;
    int r = parse(bad, &err);

    if (r >= 0 || err.hresult != s->hresult || !err.text[0])
        fail_msg("'%s' for '%s': %d, 0x%x, %s", s->to, s->from, r, err.hresult, err.text);
}

#define CORRUPT VSS_E_CORRUPT_XML_DOCUMENT
#define INVALID VSS_E_INVALID_XML_DOCUMENT

static const struct spoiled spoiled_metadata[] = {
    { "<WRITER_METADATA", "<WRITER", INVALID },
    { "WriterMetadataInfo", "WriterMetadata", CORRUPT },
    { "version=\"1.1\"", "version=\"1.2\"", CORRUPT },
    { "version=\"1.1\"", "", CORRUPT },
    { "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>", INVALID },
    { "</WRITER_METADATA>", "</WRITER_METADATA><!-- more -->", CORRUPT },
    { "backupSchema=\"18\"", "backupSchema=\"-1\"", CORRUPT },
    { "backupSchema=\"18\"", "backupSchema=\"018\"", CORRUPT },
    { "backupSchema=\"18\"", "backupSchema=\"4294967296\"", CORRUPT },
    { "backupSchema=\"18\"", "backupSchema=\"1024\"", CORRUPT },
    { "writerId=\"66841cd4", "writerId=\"66841CD4", CORRUPT },
    { "writerId=\"66841cd4", "writerId=\"6684", CORRUPT },
    { "usage=\"SYSTEM_SERVICE\"", "usage=\"SYSTEM\"", CORRUPT },
    { "usage=\"SYSTEM_SERVICE\"", "", CORRUPT },
    { "dataSource=", "more=\"x\" dataSource=", CORRUPT },
    { "friendlyName=\"Microsoft Hyper-V VSS Writer\"", "friendlyName=\"\"", CORRUPT },
    { "method=\"STOP_RESTART_SERVICE\"", "method=\"NONE\"", CORRUPT },
    { "<IDENTIFICATION", "<RESTORE_METHOD/><IDENTIFICATION", CORRUPT },
    { "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS/><BACKUP_LOCATIONS>", CORRUPT },
    { "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS>text", CORRUPT },
    { "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS><![CDATA[ ]]>", CORRUPT },
    { "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS xmlns:a=\"b\">", CORRUPT },
    { "<BACKUP_LOCATIONS>", "<BACKUP_LOCATIONS xmlns=\"b\">", CORRUPT },
    { "<FILE_GROUP", "<UNKNOWN/><FILE_GROUP", CORRUPT },
    { "selectable=\"yes\"", "selectable=\"1\"", CORRUPT },
    { "componentFlags=\"5\"", "componentFlags=\"99\"", CORRUPT },
    { "filespec=\"web01.qcow2\"", "filespec=\"a/b\"", CORRUPT },
    { "filespecBackupType=\"69391\"", "filespecBackupType=\"0\"", CORRUPT },
    { "<DATABASE_LOGFILES", "<FILE_LIST", CORRUPT },
    { "logicalPath=\"VMs\\prod\"", "logicalPath=\"VMs\\\\prod\"", CORRUPT },
    { "componentName=\"orders\"", "componentName=\"\"", CORRUPT },
    { "onWriterId=\"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\"", "onWriterId=\"" VM_WRITER_ID "\"", CORRUPT },
};

static const struct spoiled spoiled_components[] = {
    { "BACKUP_COMPONENTS", "COMPONENTS", INVALID },
    { "selectComponents=\"yes\"", "selectComponents=\"maybe\"", CORRUPT },
    { "backupType=\"incremental\"", "backupType=\"undefined\"", CORRUPT },
    { "<WRITER_COMPONENTS writerId=\"66841cd4", "<WRITER_COMPONENTS writerId=\"x", CORRUPT },
    { "writerId=\"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee\"", "writerId=\"" VM_WRITER_ID "\"", CORRUPT },      /* twice */
    { "logicalPath=\"\" componentName=\"plain\"", "logicalPath=\"VMs\" componentName=\"web01\"", CORRUPT }, /* twice */
    { "componentName=\"plain\"", "componentName=\"pl\\ain\"", CORRUPT },
    { "componentType=\"database\"", "componentType=\"table\"", CORRUPT },
    { "restoreTarget=\"directed\"", "restoreTarget=\"\"", CORRUPT },
    { "fileRestoreStatus=\"failed\"", "fileRestoreStatus=\"3\"", CORRUPT },
    { "hresult=\"0x800423f3\"", "hresult=\"0x00000000\"", CORRUPT },
    { "hresult=\"0x800423f3\"", "hresult=\"0x800423F3\"", CORRUPT },
    { "hresult=\"0x800423f3\"", "hresult=\"2147754995\"", CORRUPT },
    { "<RESTORE_METADATA", "<BACKUP_METADATA metadata=\"\"/><RESTORE_METADATA", CORRUPT }, /* twice */
    { "<BACKUP_METADATA", "<RESTORE_METADATA metadata=\"\"/><BACKUP_METADATA", CORRUPT },  /* order */
    { "<NEW_TARGET", "<TARGET", CORRUPT },
    { "<COMPONENT ", "<BLOB/><COMPONENT ", CORRUPT },
    { "recursive=\"yes\"", "recursive=\"yes\" recursive=\"yes\"", INVALID },
    { "snapshotSetId=\"" SET_ID "\"", "snapshotSetId=\"\"", CORRUPT },
    { "creationTimestamp=\"1795381985123456\"", "creationTimestamp=\"9999999999999999999\"", CORRUPT },
    { "context=\"0x00000002\"", "context=\"0x2\"", CORRUPT },
    { "</BACKUP_COMPONENTS>", "<WRITER_COMPONENTS/></BACKUP_COMPONENTS>", CORRUPT }, /* behind the snapshots */
    { "originalVolumeName=\"/var/lib/libvirt\"", "originalVolumeName=\"\"", CORRUPT },
};

static void spoiled_documents_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(spoiled_metadata); i++)
        assert_refused("writer_metadata", parse_metadata, &spoiled_metadata[i]);
    for (size_t i = 0; i < ARRAY_SIZE(spoiled_components); i++)
        assert_refused("backup_components", parse_components, &spoiled_components[i]);
}

/* Cut off anywhere, or with any byte changed to another: no crash, and never taken for what it was. */
static void damaged_documents_are_refused_or_other_documents(void **state)
{
    static const char *const names[] = { "writer_metadata", "backup_components" };
    parse_fn *const parse[] = { parse_metadata, parse_components };
    size_t step = getenv("KVSS_TEST_VALGRIND") ? 97 : 3;

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
        _cleanup_free_ char *text = golden_read(names[k]);
        size_t n = strlen(text), end = (size_t)(strrchr(text, '>') - text);
        for (size_t i = 0; i < n; i += step) {
            struct err err = ERR_INIT;
            char kept = text[i];
            text[i] = '\0';
            if (i <= end)
                assert_true(parse[k](text, &err) < 0 && err.hresult != 0);
            text[i] = (char)(kept ^ 0x15);
            (void)parse[k](text, &err);
            text[i] = kept;
        }
    }
}

static void texts_have_bounds(void **state)
{
    _cleanup_components_ struct bc_document *doc = example_components();
    _cleanup_free_ char *big = malloc(TEXT_METADATA_MAX + 2);
    struct bc_component *c = doc->writers[0]->components[0];
    struct err err = ERR_INIT;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', TEXT_METADATA_MAX + 1);
    big[TEXT_METADATA_MAX + 1] = '\0';
    assert_fails(EINVAL, components_set_text(doc, &c->backup_metadata, big, TEXT_METADATA_MAX, "metadata", &err));
    assert_ok(components_set_text(doc, &c->backup_metadata, big + 1, TEXT_METADATA_MAX, "metadata", &err));
    assert_fails(EINVAL, components_set_text(doc, &c->backup_stamp, "\x7f\x1b", TEXT_METADATA_MAX, "stamp", &err));
    assert_ok(components_set_text(doc, &c->backup_stamp, NULL, TEXT_METADATA_MAX, "stamp", &err));
    assert_null(c->backup_stamp);
}

/* What could not be read back is not written. */
static void a_document_too_long_to_read_is_not_written(void **state)
{
    _cleanup_components_ struct bc_document *doc = example_components();
    _cleanup_free_ char *big = malloc(TEXT_METADATA_MAX + 1);
    struct err err = ERR_INIT;
    char *xml = NULL;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', TEXT_METADATA_MAX);
    big[TEXT_METADATA_MAX] = '\0';
    for (int i = 0; i < 17; i++) {
        struct bc_component *c = NULL;
        char name[16];
        snprintf(name, sizeof name, "big%d", i);
        assert_ok(components_add(doc, doc->writers[0], VSS_CT_FILEGROUP, NULL, name, &c, &err));
        assert_ok(components_set_text(doc, &c->backup_metadata, big, TEXT_METADATA_MAX, "metadata", &err));
    }
    assert_fails(EFBIG, components_format(doc, &xml, &err));
    assert_null(xml);
}

/* ---- Words ----------------------------------------------------------------------------------------------------------------*/

static void names_for_people(void **state)
{
    (void)state;
    assert_string_equal(vss_state_name(VSS_WS_STABLE), "Stable");
    assert_string_equal(vss_state_name(VSS_WS_WAITING_FOR_BACKUP_COMPLETE), "Waiting for completion");
    assert_string_equal(vss_state_name(VSS_WS_FAILED_AT_FREEZE), "Failed");
    assert_string_equal(vss_state_symbol(VSS_WS_FAILED_AT_FREEZE), "VSS_WS_FAILED_AT_FREEZE");
    assert_string_equal(vss_state_symbol(99), "VSS_WS_UNKNOWN");
    assert_string_equal(vss_error_text(VSS_S_OK), "No error");
    assert_string_equal(vss_error_text(VSS_E_WRITERERROR_TIMEOUT), "Timed out");
    assert_string_equal(vss_error_text(VSS_E_WRITERERROR_NONRETRYABLE), "Non-retryable error");
    assert_string_equal(vss_error_symbol(VSS_E_BAD_STATE), "VSS_E_BAD_STATE");
    assert_string_equal(vss_error_text(0x12345678), "Unknown error");
    assert_string_equal(vss_backup_type_name(VSS_BT_DIFFERENTIAL), "differential");
    assert_string_equal(vss_backup_type_name(VSS_BT_UNDEFINED), "undefined");
    assert_string_equal(vss_backup_type_name(77), "undefined");
}

/* Those that KB articles and headers give; the others follow their order. */
static void numbers_are_vss_numbers(void **state)
{
    (void)state;
    assert_int_equal(VSS_WS_FAILED_AT_FREEZE, 9);
    assert_int_equal(VSS_WS_FAILED_AT_BACKUPSHUTDOWN, 15);
    assert_int_equal(VSS_E_WRITERERROR_RETRYABLE, 0x800423f3u);
    assert_int_equal(VSS_E_BAD_STATE, 0x80042301u);
    assert_int_equal(VSS_E_PROVIDER_VETO, 0x80042306u);
    assert_int_equal(VSS_E_WRITERERROR_PARTIAL_FAILURE, 0x80042336u);
    assert_int_equal(VSS_VOLSNAP_ATTR_NO_AUTORECOVERY, 2);
    assert_int_equal(VSS_FSBT_DEFAULT, 0xf0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaviour_07_writer_metadata_round_trip),
        cmocka_unit_test(behaviour_07_backup_components_round_trip),
        world_test(behaviour_07_documents_of_a_session_round_trip),
        cmocka_unit_test(spoiled_documents_are_refused),
        cmocka_unit_test(damaged_documents_are_refused_or_other_documents),
        cmocka_unit_test(texts_have_bounds),
        cmocka_unit_test(a_document_too_long_to_read_is_not_written),
        cmocka_unit_test(names_for_people),
        cmocka_unit_test(numbers_are_vss_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
