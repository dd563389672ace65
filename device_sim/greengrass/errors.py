"""The error tree of the local nucleus.

::

    NucleusError
    ├── EventStreamError          bytes that do not form an event-stream frame
    │   ├── FrameChecksumError    a CRC32 does not match
    │   ├── FrameSizeError        a frame, its headers or a value is larger than allowed
    │   └── FrameFormatError      anything else that is malformed
    ├── RecipeError               a recipe that cannot be used; names file, key, value and what is allowed
    │   ├── VersionError          an invalid version or version range
    │   ├── PlatformError         no manifest fits this machine
    │   ├── VariableError         a script names a variable that does not exist
    │   └── DependencyError       the dependencies cannot be met
    │       ├── MissingDependencyError   a component or a version of it without a recipe
    │       └── DependencyCycleError     components that wait for each other
    ├── ArtifactError             an artifact that is missing, damaged or dangerous
    ├── ConfigurationError        a configuration, or a change of one, that is malformed
    ├── StaleUpdateError          a configuration change older than what it would overwrite
    ├── DeploymentError           a deployment that cannot be carried out, or was not accepted
    ├── ScriptError               a lifecycle script that failed, or took too long
    ├── BridgeError               a publish or a subscription that IoT Core or the nucleus refuses
    ├── DaemonError               a daemon that this nucleus lacks, or a malformed control request
    ├── StartError                this nucleus cannot start: arguments, permissions, a root in use
    └── OperationError            error answer of an IPC call; see operations/base.py
"""


class NucleusError(Exception):
    """Base of every error that this package raises."""


class EventStreamError(NucleusError):
    """Bytes that do not form an event-stream frame."""


class FrameChecksumError(EventStreamError):
    """A frame's CRC32 does not match its bytes."""


class FrameSizeError(EventStreamError):
    """A frame, its headers or a header's value is larger than allowed."""


class FrameFormatError(EventStreamError):
    """A frame is malformed in a way that no narrower error names."""


class RecipeError(NucleusError):
    """A recipe that cannot be used; names file, key, value and what is allowed."""


class VersionError(RecipeError):
    """An invalid version or version range."""


class PlatformError(RecipeError):
    """No manifest of the recipe fits this machine."""


class VariableError(RecipeError):
    """A script names a variable that does not exist."""


class DependencyError(RecipeError):
    """The dependencies of the components to deploy cannot be met."""


class MissingDependencyError(DependencyError):
    """A component, or a version of it, without a recipe."""


class DependencyCycleError(DependencyError):
    """Components that wait for each other."""


class ArtifactError(NucleusError):
    """An artifact that is missing, damaged or dangerous."""


class ConfigurationError(NucleusError):
    """A configuration, or a change of one, that is malformed."""


class StaleUpdateError(NucleusError):
    """A configuration change that is older than what it would overwrite."""


class DeploymentError(NucleusError):
    """A deployment that cannot be carried out, or that a component did not accept."""


class ScriptError(NucleusError):
    """A lifecycle script that failed, or took too long."""


class BridgeError(NucleusError):
    """A publish or a subscription that IoT Core, or the nucleus on the way there, refuses."""


class DaemonError(NucleusError):
    """A daemon that this nucleus lacks, or a malformed control request."""


class StartError(NucleusError):
    """This nucleus cannot start."""


class OperationError(NucleusError):
    """Error answer of an IPC call: the model's error ``kind`` (such as ``UnauthorizedError``) and a sentence."""

    def __init__(self, kind: str, text: str, **fields: str) -> None:
        super().__init__(text)
        self.kind, self.text, self.fields = kind, text, fields
