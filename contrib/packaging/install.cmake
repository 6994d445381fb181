# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is installed for the system to find: the names under which mount(8) looks
# for the program, and what systemd and udev read.

# A link, made here and copied as it is when installed.
function(install_link name target destination)
	set(link ${PROJECT_BINARY_DIR}/links/${name})
	file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/links)
	file(CREATE_LINK ${target} ${link} SYMBOLIC)
	install(FILES ${link} DESTINATION ${destination})
endfunction()

# mount(8) looks in /sbin only. The type is "rawmap" or, as the kernel and
# findmnt(8) write it, "fuse.rawmap"; umount(8) has it from the kernel.
file(RELATIVE_PATH program ${CMAKE_INSTALL_FULL_SBINDIR}
	${CMAKE_INSTALL_FULL_BINDIR}/rawmap)
set(helpers mount.rawmap mount.fuse.rawmap umount.fuse.rawmap)
foreach(helper ${helpers})
	install_link(${helper} ${program} ${CMAKE_INSTALL_SBINDIR})
endforeach()
if(SCDOC)
	foreach(helper mount.fuse.rawmap umount.fuse.rawmap)
		install_link(${helper}.8 mount.rawmap.8
			${CMAKE_INSTALL_MANDIR}/man8)
	endforeach()
endif()

set(systemd ${PROJECT_SOURCE_DIR}/contrib/systemd)
set(RAWMAP_UNIT_PROGRAM ${CMAKE_INSTALL_FULL_LIBEXECDIR}/rawmap/rawmap-unit)
configure_file(${systemd}/rawmap@.service.in
	${PROJECT_BINARY_DIR}/rawmap@.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/rawmap@.service
	DESTINATION lib/systemd/system)
install(FILES ${systemd}/70-rawmap.rules DESTINATION lib/udev/rules.d)
install(PROGRAMS ${systemd}/rawmap-unit
	DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/rawmap)
install(FILES ${systemd}/disk.conf
	DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
