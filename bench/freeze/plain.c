/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The measure for frozen time: the plain sequence against libvirt and nothing else. A thread per VM, one barrier before the
 * points in time, one before the thaw; prints the milliseconds between the agent's freeze reply and its thaw reply.
 *
 *   plain URI FOLDER VM...     FOLDER: existing, may be entered and written by QEMU; for NBD sockets and scratch files
 */
#include <libvirt/libvirt.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct vm {
    const char *name, *folder;
    virDomainPtr dom;
    char *backup, *checkpoint; /* XML */
    pthread_barrier_t *before_points, *before_thaw;
    double frozen_ms;
    int failed;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *run(void *arg)
{
    struct vm *vm = arg;

    vm->failed |= virDomainFSFreeze(vm->dom, NULL, 0, 0) < 0;
    double frozen = now_ms();
    pthread_barrier_wait(vm->before_points);
    vm->failed |= virDomainBackupBegin(vm->dom, vm->backup, vm->checkpoint, 0) < 0;
    pthread_barrier_wait(vm->before_thaw);
    vm->failed |= virDomainFSThaw(vm->dom, NULL, 0, 0) < 0;
    vm->frozen_ms = now_ms() - frozen;
    return NULL;
}

/* The same parts as kvss's job: an NBD server on a socket, a scratch file and a bitmap per disk, a checkpoint. */
static void prepare(struct vm *vm, virConnectPtr conn, int number)
{
    char *xml, *disks = strdup(""), *more;

    vm->dom = virDomainLookupByName(conn, vm->name);
    if (!vm->dom || !(xml = virDomainGetXMLDesc(vm->dom, 0)))
        exit(1);
    xmlDocPtr doc = xmlReadDoc((xmlChar *)xml, NULL, NULL, XML_PARSE_NONET);
    xmlXPathContextPtr context = xmlXPathNewContext(doc);
    xmlXPathObjectPtr found = xmlXPathEval((xmlChar *)"/domain/devices/disk[@device='disk']/target/@dev", context);
    for (int i = 0; found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlChar *dev = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        if (asprintf(&more, "%s<disk name='%s' backup='yes' type='file'><scratch file='%s/%d-%s.scratch'/></disk>", disks, dev, vm->folder,
                     number, dev) < 0)
            exit(1);
        free(disks);
        disks = more;
        xmlFree(dev);
    }
    if (asprintf(&vm->backup,
                 "<domainbackup mode='pull'><server transport='unix' socket='%s/%d.sock'/><disks>%s</disks>"
                 "</domainbackup>",
                 vm->folder, number, disks) < 0 ||
        asprintf(&vm->checkpoint, "<domaincheckpoint><name>plain</name></domaincheckpoint>") < 0)
        exit(1);
    free(disks);
    free(xml);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
}

static void clean(struct vm *vm)
{
    virDomainCheckpointPtr checkpoint;

    virDomainAbortJob(vm->dom);
    if ((checkpoint = virDomainCheckpointLookupByName(vm->dom, "plain", 0))) {
        virDomainCheckpointDelete(checkpoint, 0);
        virDomainCheckpointFree(checkpoint);
    }
    virDomainFree(vm->dom);
    free(vm->backup);
    free(vm->checkpoint);
}

int main(int argc, char **argv)
{
    pthread_barrier_t before_points, before_thaw;
    int n = argc - 3, failed = 0;

    if (n < 1)
        return 2;
    virConnectPtr conn = virConnectOpen(argv[1]);
    struct vm *vms = calloc((size_t)n, sizeof(*vms));
    pthread_t *threads = calloc((size_t)n, sizeof(*threads));
    if (!conn || !vms || !threads)
        return 1;
    pthread_barrier_init(&before_points, NULL, (unsigned)n);
    pthread_barrier_init(&before_thaw, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        vms[i] = (struct vm){ .name = argv[3 + i], .folder = argv[2], .before_points = &before_points, .before_thaw = &before_thaw };
        prepare(&vms[i], conn, i);
    }
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, run, &vms[i]);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++) {
        printf("%s %.1f\n", vms[i].name, vms[i].frozen_ms);
        failed |= vms[i].failed;
        clean(&vms[i]);
    }
    free(threads);
    free(vms);
    virConnectClose(conn);
    return failed;
}
