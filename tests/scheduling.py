"""In which order two processes take the files of the suite.

Tests that start whole workers wait more than they compute: leases run out, processes
come up.  Two of them at a time want four cores in one moment and none in the next; one
of them beside tests that only compute keeps two cores busy.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

#: Files whose tests start workers, searches over several processes or the whole.
WHOLE_WORKERS = frozenset(
    {
        "tests/browser/test_live_run.py",
        "tests/browser/test_pruning_explorer.py",
        "tests/chaos/test_chaos.py",
        "tests/jobs/test_broker_faults.py",
        "tests/jobs/test_frozen_worker.py",
        "tests/jobs/test_many_machines.py",
        "tests/jobs/test_registration.py",
        "tests/jobs/test_several_devices.py",
        "tests/jobs/test_supervisor.py",
        "tests/jobs/test_supervisor_faults.py",
        "tests/jobs/test_worker.py",
        "tests/platform/test_up.py",
        "tests/plugin/test_plugin.py",
    }
)


class OneWorkerAtATime(LoadFileScheduling):
    """Hand out files; of those with whole workers one at a time, as early as can be."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        elsewhere = {
            scope
            for other, units in self.assigned_work.items()
            if other is not node
            for scope, tests in units.items()
            if not all(tests.values())
        }
        wanted = elsewhere.isdisjoint(WHOLE_WORKERS)
        for scope in self.workqueue:
            if (scope in WHOLE_WORKERS) == wanted:
                self.workqueue.move_to_end(scope, last=False)
                break
        super()._assign_work_unit(node)
