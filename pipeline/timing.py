"""Every interval that the pipeline waits for, in one place; seconds, unless a field says otherwise."""

from dataclasses import dataclass

_DOUBLINGS = 30  # of the wait for a store, at most: it must remain a number after days


@dataclass(frozen=True)
class Timing:
    """The intervals of a runner. The defaults are for production; tests pass shorter ones."""

    # Files that somebody is still writing.
    settled: float = 1.0  # a file counts as written when its size and time have not changed for so long
    unfinished: float = 5.0  # the same for a file that is not yet valid JSON
    refused: float = 3600.0  # for so long a file that was refused for its syntax is watched for changes

    # Scans of the inbox.
    scan: float = 2.0  # between two scans of a folder, or of a store in which something has just happened
    scan_rest: float = 10.0  # a factor: no scan follows for so many times the seconds that one took
    scan_settling: float = 0.25  # while a file is still being written
    scan_bucket: float = 30.0  # between two scans of a bucket in which nothing happens: requests cost money
    scan_beside_queue: float = 300.0  # the same where a queue announces uploads
    slow: float = 10.0  # a scan, or a search for the images of a manifest, that takes longer is reported
    priorities: float = 1.0  # at most, for reading priorities, or error files, within one scan
    cancelled: float = 3.0  # between two checks whether somebody has taken a manifest out of processing/

    # Results.
    listing: float = 300.0  # for so long a listing of results, or of images, is used

    # For so long the names of a folder are used, to suggest one for a file that is missing.
    hints: float = 10.0

    # Claims.
    lease: float = 60.0  # a lease or a lock that was not renewed for so long may be taken over
    lease_renewal: float = 15.0  # between two renewals
    lock_renewal: float = 5.0  # between two renewals of the locks in a folder
    held: float = 30.0  # before the next try to claim a manifest that another runner holds
    # Before the next try with a manifest that could not be ended, or with one that runners have died with and
    # whose images could not be read; longer each time.
    put_off: float = 60.0

    # Stores that cannot be reached.
    retry_first: float = 1.0  # before the second try; the wait doubles with every further one ...
    retry_last: float = 60.0  # ... up to this
    connect_timeout: float = 10.0  # for a connection to AWS
    read_timeout: float = 60.0  # for an answer of AWS
    credentials: float = 60.0  # between two reads of a file with credentials
    queue_hidden: int = 120  # a message of the queue stays hidden so long before it must be renewed; whole
    queue_retry: float = 10.0  # before the next try at a queue

    # Ray.
    ray_report: float = 0.5  # between two reports of evaluations by an actor
    ray_missing: float = 60.0  # without any actor, after which it is reported what is missing
    ray_still: float = 600.0  # between two further such reports
    ray_refused: float = 60.0  # before the next try to start an actor, after one could not work
    ray_spare: float = 60.0  # for so long an actor waits for a place after it was needed last
    ray_first: float = 60.0  # for another actor to be able to work, after the first one is not
    ray_dead: float = 2.0  # after the death of an actor, for news that its machine was shut down
    ray_stuck: float = 1500.0  # without progress of an actor; before `stuck`, or its owner would end first
    ray_last: float = 0.5  # for the pictures that actors encode while the engine stops

    # Metrics.
    metrics_file: float = 5.0  # between two writes of the file

    # Previews.
    preview: float = 2.0  # between two previews of the pairs of a batch
    watched: float = 10.0  # for so long after a request for a preview of a pair, previews of it are made

    # The door.
    look: float = 0.05  # before the first look at a folder for a result that another runner makes ...
    look_last: float = 1.0  # ... and the longest wait between two of them; each is half as long again
    look_bucket: float = 3.0  # the same two for a bucket: requests cost money
    look_bucket_last: float = 30.0
    counted: float = 1.0  # for so long a count of the manifests in a folder, or a listing of them, is used
    listed_bucket: float = 5.0  # for so long a listing of manifests or of results in a bucket is used
    headers: float = 15.0  # for the headers of a request, and between two requests on a connection
    body_part: float = 30.0  # between two parts of the body of a request
    body: float = 600.0  # for the whole body
    answer_part: float = 60.0  # for a client to take a part of its answer
    heartbeat: float = 15.0  # between two lines of a stream of events

    # Stopping.
    grace: float = 0.8  # after a signal, for work to end by itself
    leave: float = 1.0  # for handing back what is left, once work is abandoned
    stuck: float = 1800.0  # without any progress, after which the process ends itself
    asleep: float = 10.0  # between two looks for progress: more means that this process was suspended

    def retry_after(self, failed: int) -> float:
        """Seconds before the next try at a store, after so many tries in a row have failed, at least one."""
        return min(self.retry_first * 2.0 ** min(failed - 1, _DOUBLINGS), self.retry_last)
