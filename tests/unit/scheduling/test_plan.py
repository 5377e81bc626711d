"""What starts, in which order, and why the others wait."""

from __future__ import annotations

from stoker.core.enums import Reason
from stoker.scheduling.plan import plan
from stoker.scheduling.snapshot import Queue, Snapshot, Waiting
from support.machines import free_node, queue_of, running, shape, snapshot

NOW = 1000.0
FULL = {"free": [free_node(0)], "busy": [running(90, range(8), NOW + 100)]}


def started(decided):
    return [start.job_id for start in decided.starts]


def test_nothing_waits_and_nothing_starts():
    decided = plan(snapshot([]), NOW)
    assert started(decided) == []
    assert not decided.is_cut


def test_jobs_start_in_order_over_all_shapes():
    shapes = [shape(tasks=2), shape(), shape(tasks=2), shape(tasks=3)]
    assert started(plan(snapshot(shapes), NOW)) == [1, 2, 3, 4]


def test_no_two_jobs_get_the_same_core():
    decided = plan(snapshot([shape(tasks=3), shape(tasks=3), shape(), shape()]), NOW)
    cores = [core for start in decided.starts for share in start.shares for core in share.cpus]
    assert sorted(cores) == list(range(8))


def test_the_first_that_does_not_fit_waits_for_resources_and_the_next_for_its_turn():
    decided = plan(snapshot([shape(tasks=8), shape(tasks=8), shape()], **FULL), NOW)
    reasons = [decided.reason(shape(tasks=8), 1), decided.reason(shape(tasks=8), 2)]
    assert reasons == [Reason.RESOURCES, Reason.PRIORITY]
    assert decided.reason(shape(), 3) is Reason.PRIORITY
    assert decided.heads == {"debug": 1}


def test_each_partition_has_a_head():
    shapes = [shape(partition=name) for name in ("one", "one", "two")]
    decided = plan(snapshot(shapes, **FULL), NOW)
    assert decided.heads == {"one": 1, "two": 3}
    assert decided.reason(shapes[2], 3) is Reason.RESOURCES


def test_a_job_that_would_fit_but_for_a_reservation_waits_for_its_turn():
    shapes = [shape(tasks=8), shape()]
    busy = [running(90, [0], NOW + 100)]
    decided = plan(snapshot(shapes, free=[free_node(range(1, 8))], busy=busy), NOW)
    assert started(decided) == []
    assert decided.reason(shapes[1], 2) is Reason.PRIORITY


def test_where_all_nodes_belong_to_exclusive_jobs_everybody_waits_for_resources():
    busy = [running(90, range(8), exclusive=True)]
    decided = plan(snapshot([shape(tasks=8), shape()], free=[free_node(0)], busy=busy), NOW)
    assert decided.reason(shape(tasks=8), 1) is Reason.RESOURCES
    assert decided.reason(shape(), 2) is Reason.RESOURCES


def test_a_job_that_the_plan_has_not_seen_has_no_reason_yet():
    assert plan(snapshot([]), NOW).reason(shape(), 7) is Reason.NONE


def test_a_job_that_waits_for_a_drained_node_says_so_and_holds_nobody_up():
    nodes = [free_node(range(1, 8)), free_node(name="node2", accepts=False)]
    shapes = [shape(nodes=("node2",)), shape(tasks=8), shape()]
    decided = plan(snapshot(shapes, free=nodes, busy=[running(90, [0], NOW + 100)]), NOW)
    assert decided.reason(shapes[0], 1) is Reason.REQ_NODE_NOT_AVAIL
    assert decided.reason(shapes[1], 2) is Reason.RESOURCES
    assert decided.heads == {"debug": 2}


def test_a_job_that_fits_elsewhere_does_not_blame_the_drained_node():
    nodes = [free_node(0), free_node(name="node2", accepts=False)]
    decided = plan(snapshot([shape()], free=nodes, busy=FULL["busy"]), NOW)
    assert decided.reason(shape(), 1) is Reason.RESOURCES


def arrays(*waiting, free=8):
    return Snapshot([Queue(shape(), waiting)], [], [free_node(free)])


def test_an_array_starts_as_many_tasks_as_fit():
    decided = plan(arrays(Waiting(5, (5,), 1_000_000)), NOW)
    assert started(decided) == [5] * 8
    assert decided.reason(shape(), 5) is Reason.RESOURCES


def test_an_array_starts_no_more_tasks_than_its_limit_leaves():
    decided = plan(arrays(Waiting(5, (5,), 2), Waiting(6, (6,), 1)), NOW)
    assert started(decided) == [5, 5, 6]
    assert decided.reason(shape(), 5) is Reason.JOB_ARRAY_TASK_LIMIT


def test_an_array_at_its_limit_is_passed_and_is_no_head():
    decided = plan(arrays(Waiting(5, (5,), 0), Waiting(6, (6,), 1), free=1), NOW)
    assert started(decided) == [6]
    assert decided.reason(shape(), 5) is Reason.JOB_ARRAY_TASK_LIMIT
    full = plan(arrays(Waiting(5, (5,), 0), Waiting(6, (6,), 1), free=0), NOW)
    assert full.heads == {"debug": 6}


def test_whoever_knows_of_an_arrays_limit_may_say_so():
    decided = plan(snapshot([shape(), shape()], **FULL), NOW)
    assert decided.reason(shape(), 2, is_at_limit=True) is Reason.JOB_ARRAY_TASK_LIMIT


def test_a_plan_that_was_cut_says_that_there_is_more():
    seen = arrays(Waiting(5, (5,), 8))
    assert started(plan(seen, NOW, starts_max=3)) == [5] * 3
    assert plan(seen, NOW, starts_max=3).is_cut
    assert not plan(seen, NOW, starts_max=8).is_cut


def many_shapes(count):
    """A head that needs everything, then shapes too large for the free half, then a short job."""
    large = [shape(tasks=8, time_limit_s=float(each)) for each in range(1, count)]
    return [shape(tasks=8), *large, shape(time_limit_s=10)]


def test_no_more_shapes_are_looked_at_than_depth_allows():
    busy = [running(90, range(4), NOW + 100)]
    seen = snapshot(many_shapes(5), free=[free_node([4, 5, 6, 7])], busy=busy)
    assert started(plan(seen, NOW, depth=4)) == []
    assert started(plan(seen, NOW, depth=6)) == [6]


def test_the_first_of_a_partition_is_looked_at_however_many_wait_in_another():
    shapes = [*many_shapes(5), shape(partition="other", nodes=("node2",))]
    nodes = [free_node([4, 5, 6, 7]), free_node(name="node2")]
    confined = [
        each if each.nodes else shape(tasks=8, time_limit_s=each.time_limit_s, nodes=("node1",))
        for each in shapes
    ]
    seen = snapshot(confined, free=nodes, busy=[running(90, range(4), NOW + 100)])
    assert started(plan(seen, NOW, depth=2)) == [len(shapes)]


def test_a_turn_looks_at_a_few_jobs_however_many_wait():
    looked_at = []

    class Long(list):
        def __getitem__(self, index):
            looked_at.append(index)
            return super().__getitem__(index)

    jobs = Long(Waiting(each, (each,), 1) for each in range(100_000))
    seen = Snapshot([Queue(shape(), jobs)], [running(90, range(7))], [free_node([7])])
    assert started(plan(seen, NOW)) == [0]
    assert len(looked_at) < 5


def test_a_turn_looks_at_a_few_queues_however_many_there_are():
    looked_at = []

    class Seen(list):
        def __getitem__(self, index):
            looked_at.append(self)
            return super().__getitem__(index)

    queues = [
        Queue(shape(time_limit_s=float(each)), Seen([Waiting(each, (each,), 1)]))
        for each in range(1, 1001)
    ]
    assert started(plan(Snapshot(queues, [], [free_node([7])]), NOW)) == [1]
    assert len(looked_at) < 10


def test_a_job_that_is_asked_about_joins_at_its_place():
    seen = snapshot([shape(tasks=2), shape(tasks=3)])
    asked = seen.with_waiting(shape(tasks=4), Waiting(9, (0, 1, 5), 1))
    assert [each.jobs[0].job_id for each in asked.queues] == [1, 9, 2]
    assert [each.jobs[0].job_id for each in seen.queues] == [1, 2]


def test_jobs_of_one_shape_stand_in_one_queue():
    queues = queue_of([(shape(), Waiting(2, (2,), 1)), (shape(), Waiting(1, (1,), 1))])
    assert [job.job_id for job in queues[0].jobs] == [1, 2]
