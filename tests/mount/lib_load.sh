# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Writers whose promises are remembered, for tests that kill the server.
#
#   new_base SIZE                   what the image holds at first: zeros
#   load FILE WORKLOAD SEED WHEN    several writers on FILE, a mounted image,
#                                   until the server is dead; $TMP/notes then
#                                   says what each of them had done
#   judge FILE SLACK                does FILE hold what it may? It is the base
#                                   of the next load then
#
# The image has slots of 3 KiB, so that neighbours meet in a block; a slot has
# one writer, who gives it one version after the other: a stamp or, punched,
# zeros. A version is acknowledged when the fsync behind it returned. After a
# crash each 512 bytes hold the last acknowledged version or a later one; so
# does the size, which may be SLACK bytes larger than anybody asked for.
#
# WHEN: "ack K" and "begin K" kill the server, by the writers themselves, when
# the Kth version is acknowledged, or begun by one while others are under way;
# "none K" only stops after so many acknowledged ones and some more; "dies 0" waits
# for a server that dies of something else.

cat >"$TMP/load.py" <<'END_OF_LOAD'
import ctypes, errno, hashlib, json, os, random, signal, sys, threading, time

SLOT, UNIT, WRITERS, MAX = 3072, 512, 4, 6 << 20
libc = ctypes.CDLL(None, use_errno=True)
# How often a slot is punched, how often the image grows, slots in a batch.
workloads = {
    "fill": (0.02, 0.0, 4),
    "punch": (0.45, 0.0, 4),
    "grow": (0.1, 0.4, 3),
    "much": (0.25, 0.05, 3),
    "mixed": (0.2, 0.05, 6),
    # One writer, who punches a third of the image at once and fills it again:
    # blocks of the map become free, and may be had as something else.
    "reuse": (0.0, 0.0, 1),
}

def stamp(slot, version):
    units = range(SLOT // UNIT)
    words = [hashlib.sha256(b"%d %d %d" % (slot, version, u)) for u in units]
    return b"".join(w.digest() * (UNIT // 32) for w in words)

def content(slot, version, punched):
    return bytes(SLOT) if punched else stamp(slot, version)

class Load:
    def __init__(self, path, workload, seed, when, count, server, first):
        self.path, self.seed, self.first = path, seed, first
        self.punches, self.grows, self.batch = workloads[workload]
        self.writers = 1 if workload == "reuse" else WRITERS
        self.when, self.count, self.server = when, count, server
        self.lock = threading.Lock()
        self.began = self.acked = 0
        self.dead = False
        self.slots = {}     # slot: [[version, punched], ...]
        self.promised = {}  # slot: how many of them are
        self.sizes = [os.stat(path).st_size]
        self.size_promised = 1
        self.wide = None
        self.errors = []

    def told(self, what):
        with self.lock:
            if what == "begin":
                self.began += 1
            else:
                self.acked += 1
            n = self.began if self.when == "begin" else self.acked
            if self.dead or n < self.count or self.when == "dies":
                return
            if self.when == "none" or what == self.when:
                self.dead = True
                if self.when != "none":
                    os.kill(self.server, signal.SIGKILL)

    def punch(self, fd, slot, n=1):
        at, length = ctypes.c_int64(slot * SLOT), ctypes.c_int64(n * SLOT)
        if libc.fallocate64(fd, 3, at, length):
            raise OSError(ctypes.get_errno(), "fallocate")

    def version(self, slot, punched, slots):
        history = self.slots.setdefault(slot, [])
        history.append([self.first + len(history), punched])
        slots[slot] = len(history)
        self.told("begin")
        return history[-1][0]

    def punch_wide(self, fd, wide):
        slots = {}
        for slot in wide:
            self.version(slot, True, slots)
        self.punch(fd, wide.start, len(wide))
        return slots

    # Backwards: data are where they were not, and may get what the map had.
    def fill_wide(self, fd, wide):
        slots = {}
        for slot in reversed(wide):
            version = self.version(slot, False, slots)
            if os.pwrite(fd, stamp(slot, version), slot * SLOT) != SLOT:
                raise OSError(errno.EIO, "a short write")
        return slots

    def change_wide(self, fd, rand):
        last = self.sizes[0] // SLOT
        if self.wide:
            slots, self.wide = self.fill_wide(fd, self.wide), None
            return slots
        if not self.slots:
            return self.fill_wide(fd, range(last))
        first = rand.randrange(last - last // 3)
        self.wide = range(first, first + last // 3)
        return self.punch_wide(fd, self.wide)

    def change(self, fd, rand, me):
        if self.writers == 1:
            return self.change_wide(fd, rand)
        slots = {}
        for _ in range(rand.randint(1, self.batch)):
            last = self.sizes[self.size_promised - 1] // SLOT
            slot = rand.randrange(last) // self.writers * self.writers + me
            if slot >= last or slot in slots:
                continue
            punched = rand.random() < self.punches
            version = self.version(slot, punched, slots)
            if punched:
                self.punch(fd, slot)
            elif os.pwrite(fd, stamp(slot, version), slot * SLOT) != SLOT:
                raise OSError(errno.EIO, "a short write")
        return slots

    def grow(self, fd, rand):
        size = min(MAX, self.sizes[-1] + 512 * rand.randint(1, 300))
        self.sizes.append(size)
        os.ftruncate(fd, size)

    def batch_of(self, fd, rand, me):
        grown = 0
        if me == 0 and rand.random() < self.grows:
            self.grow(fd, rand)
            grown = len(self.sizes)
        slots = self.change(fd, rand, me)
        if self.when == "none" and self.dead:
            return
        os.fsync(fd)
        self.promised.update(slots)
        self.size_promised = max(self.size_promised, grown)
        for _ in slots:
            self.told("ack")

    def write(self, me, fd):
        rand = random.Random(self.seed * WRITERS + me)
        try:
            while not (self.when == "none" and self.dead):
                self.batch_of(fd, rand, me)
        except OSError as error:
            expected = self.dead and self.when != "none"
            if not expected and self.when != "dies":
                self.errors.append(str(error))
        try:
            os.close(fd)
        except OSError:
            pass

    def run(self):
        fds = [os.open(self.path, os.O_RDWR) for _ in range(self.writers)]
        threads = [threading.Thread(target=self.write, args=a)
                   for a in enumerate(fds)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if self.errors:
            sys.exit("the load failed: " + self.errors[0])

def load(path, workload, seed, when, count, server, base, notes):
    signal.alarm(60)
    # Numbers of this load's versions: above all earlier ones.
    state = json.load(open(base + ".json"))
    l = Load(path, workload, int(seed), when, int(count), int(server),
             state["next"])
    l.run()
    longest = max([len(h) for h in l.slots.values()] + [0])
    state["next"] += longest
    json.dump(state, open(base + ".json", "w"))
    json.dump({"slots": l.slots, "promised": l.promised, "sizes": l.sizes,
               "size_promised": l.size_promised}, open(notes, "w"))

def judge(path, base, notes, slack):
    n = json.load(open(notes))
    now, before = open(path, "rb").read(), open(base, "rb").read()
    least, most = n["sizes"][n["size_promised"] - 1], n["sizes"][-1]
    if not least <= len(now) <= most + int(slack):
        sys.exit(f"the size is {len(now)}, not {least} to {most}")
    before = before.ljust(len(now), b"\0")
    for slot in range(len(now) // SLOT + 1):
        at = slot * SLOT
        history = n["slots"].get(str(slot), [])
        promised = n["promised"].get(str(slot), 0)
        may = [content(slot, *h) for h in history[max(promised - 1, 0):]]
        if not promised:
            may.append(before[at:at + SLOT])
        for u in range(0, SLOT, UNIT):
            here = now[at + u:at + u + UNIT]
            if not any(here == m[u:u + len(here)] for m in may):
                what = "zeros" if not any(here) else here[:8].hex()
                sys.exit(f"at byte {at + u}: {what}; slot {slot}:"
                         f" {len(history)} versions, {promised} promised")
    acked = sum(n["promised"].values())
    print(f"{acked} promised, {len(n['slots'])} slots, size {len(now)}")
    open(base, "wb").write(now)

{"load": load, "judge": judge}[sys.argv[1]](*sys.argv[2:])
END_OF_LOAD

new_base()
{
	truncate -s 0 "$TMP/base"
	truncate -s "$1" "$TMP/base"
	echo '{"next": 1}' >"$TMP/base.json"
}

load()
{
	# The shell tells there that the server was killed, too.
	# shellcheck disable=SC2086
	{
		python3 "$TMP/load.py" load "$1" "$2" "$3" $4 "$SERVER" \
			"$TMP/base" "$TMP/notes"
	} 2>"$TMP/load.err" || fail "$(cat "$TMP/load.err")"
}

# As kill_rawmap, of a server that may be dead already.
end_server()
{
	kill -KILL "$SERVER" 2>/dev/null
	wait "$SERVER" 2>/dev/null
	SERVER=
	# shellcheck disable=SC2154 # lib.sh sets it
	umount -l "$served" 2>/dev/null
	check_log
}

judge()
{
	python3 "$TMP/load.py" judge "$1" "$TMP/base" "$TMP/notes" "$2" \
		>"$TMP/judged" || fail "$1 holds what it may not"
}

# ---- chance: a function of the seed ----

SEED=${RAWMAP_SEED:-$((RANDOM * 32768 + RANDOM))}
say "RAWMAP_SEED=$SEED"
RANDOM=$((SEED % 32768))

# pick MIN MAX: to $picked.
pick()
{
	# shellcheck disable=SC2034 # for the caller
	picked=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1)))
}

# ---- recovery ----

recover_by_kernel()
{
	mkdir -p "$TMP/kernel"
	run mount -o loop "$1" "$TMP/kernel"
	run umount "$TMP/kernel"
}

recover_by_e2fsck()
{
	local status=0
	e2fsck -p "$1" >"$TMP/fsck" 2>&1 || status=$?
	[ "$status" -le 1 ] || fail "e2fsck -p: $status: $(cat "$TMP/fsck")"
}

recover_by_rawmap()
{
	expect_status 0 "$RAWMAP" recover "$1"
}
