# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Run by cpack on what it has installed: what Debian's policy asks for besides,
# and paths for where the package goes, which need not be where the build tree
# would have gone.

set(usr ${CPACK_TEMPORARY_DIRECTORY}${CPACK_PACKAGING_INSTALL_PREFIX})
set(packaging ${CPACK_RAWMAP_SOURCE_DIR}/contrib/packaging)
set(doc ${usr}/share/doc/rawmap)

# Without the time: the same sources make the same package.
function(compress file)
	execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(GLOB pages ${usr}/share/man/man*/*.[0-9])
foreach(page IN LISTS pages)
	if(IS_SYMLINK ${page})
		file(READ_SYMLINK ${page} target)
		file(REMOVE ${page})
		file(CREATE_LINK ${target}.gz ${page}.gz SYMBOLIC)
	else()
		compress(${page})
	endif()
endforeach()

set(RAWMAP_UNIT_PROGRAM ${CPACK_PACKAGING_INSTALL_PREFIX})
string(APPEND RAWMAP_UNIT_PROGRAM
	/${CPACK_RAWMAP_LIBEXECDIR}/rawmap/rawmap-unit)
configure_file(${CPACK_RAWMAP_SOURCE_DIR}/contrib/systemd/rawmap@.service.in
	${usr}/lib/systemd/system/rawmap@.service @ONLY)

file(MAKE_DIRECTORY ${doc})
configure_file(${packaging}/copyright ${doc}/copyright COPYONLY)
configure_file(${packaging}/changelog.in ${doc}/changelog @ONLY)
compress(${doc}/changelog)
file(CHMOD_RECURSE ${doc} ${usr}/share/man
	FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
	DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
	GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
