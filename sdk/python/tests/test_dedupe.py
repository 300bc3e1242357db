"""What every dedupe store does, for the one in memory and the one that the README shows; and the bound of the former."""

import os
import tempfile
import threading
import unittest

from linkme_webhooks import MemoryDedupe

from .support import readme_example


class StoreCases:
    def setUp(self):
        self.now = 0

    def test_of_many_threads_that_begin_at_once_one_does(self):
        store = self.open()
        answers = []
        gate = threading.Barrier(20)

        def begin(owner):
            gate.wait()
            answers.append(store.begin("a", owner, 60))

        threads = [threading.Thread(target=begin, args=(str(number),)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), ["fresh"] + ["in_progress"] * 19)

    def test_a_lease_runs_out_and_can_be_given_back(self):
        store = self.open()
        self.assertEqual(store.begin("a", "one", 10), "fresh")
        self.now = 9.9
        self.assertEqual(store.begin("a", "two", 10), "in_progress")
        self.now = 10
        self.assertEqual(store.begin("a", "two", 10), "fresh")
        store.release("a", "two")
        self.assertEqual(store.begin("a", "three", 10), "fresh")

    def test_what_is_done_stays_so_for_its_time(self):
        store = self.open()
        store.begin("a", "one", 10)
        store.done("a", 100)
        store.release("a", "one")
        self.now = 99
        self.assertEqual((store.begin("a", "two", 10), store.begin("b", "two", 10)), ("done", "fresh"))
        self.now = 100
        self.assertEqual(store.begin("a", "two", 10), "fresh")

    def test_a_lease_of_somebody_else_is_not_given_back_and_who_is_late_may_mark_it_as_done(self):
        store = self.open()
        store.begin("a", "slow", 10)
        self.now = 10
        self.assertEqual(store.begin("a", "next", 10), "fresh")
        store.release("a", "slow")
        self.assertEqual(store.begin("a", "slow", 10), "in_progress")
        store.release("never begun", "slow")
        store.done("a", 100)
        self.assertEqual(store.begin("a", "third", 10), "done")

    def test_a_key_may_be_as_long_as_ids_make_it(self):
        store = self.open()
        key = f"shop:{'%F0%9F%91%9F' * 150}:handler"
        self.assertEqual(store.begin(key, "one", 10), "fresh")
        store.done(key, 100)
        self.assertEqual(store.begin(key, "one", 10), "done")


class SqliteDedupeTest(StoreCases, unittest.TestCase):
    def open(self):
        namespace = {}
        exec(readme_example("Remembering what was done"), namespace)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return namespace["SqliteDedupe"](os.path.join(folder.name, "seen.db"), now=lambda: self.now)


class MemoryDedupeTest(StoreCases, unittest.TestCase):
    def open(self, **options):
        return MemoryDedupe(now=lambda: self.now, **options)

    def test_of_more_marks_than_it_holds_the_oldest_are_forgotten(self):
        store = self.open(max_keys=2)
        for key in ("a", "b", "a", "c"):
            store.done(key, 100)
        self.assertEqual([store.begin(key, "one", 10) for key in ("a", "b", "c")], ["done", "fresh", "done"])

    def test_it_refuses_more_leases_than_it_holds_until_one_is_over_or_given_back(self):
        store = self.open(max_keys=2)
        store.begin("a", "one", 10)
        store.begin("b", "one", 20)
        with self.assertRaisesRegex(RuntimeError, "2 events are being handled at once"):
            store.begin("c", "one", 10)
        store.release("b", "one")
        self.assertEqual(store.begin("c", "one", 20), "fresh")
        self.now = 10
        self.assertEqual(store.begin("d", "one", 10), "fresh")
