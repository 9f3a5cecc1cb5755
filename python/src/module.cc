#include "python/src/module.h"
#include "oneflow_like/base/check.h"

NB_MODULE(_C, m) {
  using namespace ofl::python;  // NOLINT
  m.doc() = "The native part of oneflow_like.";
  m.attr("__version__") = OFL_VERSION;
  nanobind::set_leak_warnings(false);  // tensors held by globals outlive the module by design
  ofl::InitLogging("oneflow_like");
  BindErrors(m);
  BindTypes(m);
  BindDevice(m);
  BindWorld(m);
  BindGenerator(m);
  BindTensor(m);
  BindHostMemory(m);
  BindRaw(m);
  BindGradients(m);
  BindAutograd(m);
  BindOps(m);
  BindIndexing(m);
  BindSchema(m);
  BindSamples(m);
  BindRuntime(m);
  BindVersions(m);
  BindCallErrors(m);
}
